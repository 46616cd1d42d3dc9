"""What to do with a plan: the backfill to launch, with its run config."""

import json
from argparse import Namespace

from smallcaps_assets.commands.workplace import flags_of
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.pipeline.tape.cost_estimate import CapturePlan
from smallcaps_assets.settings.settings import Profile


def describe_next_step(plan: CapturePlan, profile: Profile, arguments: Namespace) -> str:
    """One line: what to do with the plan."""
    flags = flags_of(arguments)
    if plan.spans == 0:
        return f"nothing is left to fetch; `smallcaps status --profile {profile}{flags}` shows what is published"
    missing = {wave: _missing_kinds(plan, wave) for wave in WAVES}
    wave = next(wave for wave, kinds in missing.items() if kinds)
    kind, *further = missing[wave]
    backfill = f"launch the backfill of wave {wave} of {profile} / tape_{kind} in `smallcaps ui{flags}`"
    then = "".join(f", then of tape_{other}" for other in further)
    asked = {name: getattr(arguments, name) for name in ("best", "one_per_symbol", "upgrade", "retry_empty")}
    if not any(asked.values()):
        return f"{backfill}{then}"
    config = ", ".join(f"{name}: {json.dumps(value)}" for name, value in asked.items() if value)
    same = f"{then} with the same config" if then else ""
    return f"{backfill} with the run config `ops: {{{profile}__tape_{kind}: {{config: {{{config}}}}}}}`{same}"


def _missing_kinds(plan: CapturePlan, wave: str) -> list[TapeKind]:
    """The kinds of tape of which a wave has spans to fetch."""
    return [kind for kind, backlog in plan.backlogs.items() if wave in backlog.spans["wave"]]
