"""What `smallcaps check` says of the machines of a cluster."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import ServiceEnded, SmallcapsError
from smallcaps_assets.pipeline.operations.readiness import ReadinessCheck
from smallcaps_assets.settings.settings import Settings

if TYPE_CHECKING:
    from smallcaps_assets.defs.runs.cluster.launcher import ClusterRunLauncher

_REMEDY: Final = "Runs stay queued until `smallcaps worker` runs on a machine that sees the lake."


def check_cluster(settings: Settings) -> ReadinessCheck | None:
    """Which machines take runs; None where runs are not sent to any, or the state says why not."""
    if settings.dagster.laid_over is None or find_spec("dagster_celery") is None or find_spec("redis") is None:
        return None
    # of an extra
    from smallcaps_assets.defs.runs.cluster.launcher import ClusterRunLauncher  # noqa: PLC0415

    try:
        with open_state_as_is(settings) as instance:
            launcher = instance.run_launcher
            return _ask(launcher) if isinstance(launcher, ClusterRunLauncher) else None
    except SmallcapsError:
        return None


def _ask(launcher: "ClusterRunLauncher") -> ReadinessCheck:
    from smallcaps_assets.defs.runs.cluster.broker import UNREACHABLE, host_of, places_of_workers  # noqa: PLC0415

    broker = launcher.celery.connection_for_read().as_uri()
    try:
        found = places_of_workers(launcher.app)
    except UNREACHABLE as error:
        message = f"{broker}: the broker cannot be reached ({str(error).rstrip('.')})"
        return ReadinessCheck("cluster", "problem", message, "Does Redis run, and is SMALLCAPS_BROKER_URL right?")
    except ServiceEnded as error:
        return ReadinessCheck("cluster", "note", str(error))
    if not found:
        return ReadinessCheck("cluster", "note", f"{broker}: no machine takes runs", _REMEDY)
    named = ", ".join(sorted(f"{host_of(name)} ({count_noun(places, 'run')})" for name, places in found.items()))
    return ReadinessCheck("cluster", "ok", f"{broker}: {count_noun(sum(found.values()), 'run')} at once: {named}")
