"""The settings as frozen models. Only this module reads the environment; wrong settings are rejected by name."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, model_validator

from smallcaps_assets.domain.events.cooldown import CooldownParams
from smallcaps_assets.domain.events.detection import DetectionParams, FilterParams
from smallcaps_assets.domain.events.detectors import DetectorParams
from smallcaps_assets.domain.events.features import FeatureParams
from smallcaps_assets.domain.events.score import ScoreParams
from smallcaps_assets.domain.manifests.selection import ProfileParams, RankingParams
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.review.sample import ReviewParams
from smallcaps_assets.domain.sessions import SessionParams
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.domain.tape.kpis import KpiParams
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.errors import NotAuthenticated, SettingsError
from smallcaps_assets.settings.documents import DocumentError, parse_document, read_text
from smallcaps_assets.settings.layers import Layer, argument_layer, file_layer, override_settings
from smallcaps_assets.settings.operations import BackupParams, NightlyParams, NoticeParams, RetentionParams
from smallcaps_assets.settings.problems import explain_errors
from smallcaps_assets.settings.sections import (
    CaptureParams,
    CheckParams,
    DagsterParams,
    HistoryParams,
    LakeParams,
    ResearchSection,
    SourceParams,
)

Profile = Literal["core", "plus", "premium"]
PROFILES: Final[tuple[Profile, ...]] = ("core", "plus", "premium")
# whose cohorts select the events of the other profiles
COHORTS_FROM: Final[Profile] = "core"

# With these a parent process passes its configuration to its children.
HOME_VARIABLE: Final = "SMALLCAPS_HOME"
CONFIG_VARIABLE: Final = "SMALLCAPS_CONFIG"
OVERRIDES_VARIABLE: Final = "SMALLCAPS_OVERRIDES"
_UNSET_OVERRIDES: Final = "Commands set this variable for the processes they start: unset it."
# The address of the web UI that started a process; identifies the web UI's services and runs.
UI_VARIABLE: Final = "SMALLCAPS_UI"

# Dagster writes the events of a step in batches if the storage can: PostgreSQL, not SQLite.
BATCH_VARIABLE: Final = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE: Final = "500"

_LAUNCHER: Final = "smallcaps_assets.defs.runs.launcher"
# in dagster.yaml files that users copied from earlier versions
_FORMER_LAUNCHER: Final = "smallcaps_assets.defs.launcher"


# where the lake is mounted, where Dagster's state is, where notices and backups go, how many threads a machine has
_OF_A_MACHINE: Final = {"lake", "dagster", "notices", "backup", "fetch_threads"}


class Settings(Params):
    """The settings of `config/config.yaml`, with the changes of the command line."""

    # the nightly capture pays for this one; also the default of --profile, and shown first
    active_profile: Profile
    source: SourceParams
    lake: LakeParams
    dagster: DagsterParams
    history: HistoryParams
    universe: UniverseParams
    partitions_per_run: int = Field(gt=0)
    fetch_threads: int = Field(gt=0, le=256)
    sessions: SessionParams
    features: FeatureParams
    detectors: DetectorParams
    filters: FilterParams
    score: ScoreParams
    cooldown: CooldownParams
    ranking: RankingParams
    profiles: dict[Profile, ProfileParams]
    capture: CaptureParams
    kpis: KpiParams
    review: ReviewParams
    checks: CheckParams
    research: ResearchSection = Field(default_factory=ResearchSection)
    nightly: NightlyParams
    notices: NoticeParams
    # files of earlier releases have no such section
    retention: RetentionParams = Field(default_factory=RetentionParams)
    backup: BackupParams = Field(default_factory=BackupParams)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in PROFILES if name not in self.profiles]
        if missing:
            raise ValueError(f"profiles must describe core, plus and premium; missing: {', '.join(missing)}")
        if set(self.kpis.max_session_drift_pp) != set(SESSIONS):
            raise ValueError("kpis.max_session_drift_pp must name PM, RTH and AH, each once")
        scores = [self.profiles[name].min_event_score for name in PROFILES]
        if scores != sorted(scores, reverse=True):
            raise ValueError(
                "min_event_score must not rise from core to plus to premium: the tiers build on that order"
            )
        if self.profiles[COHORTS_FROM].cohorts is not None:
            raise ValueError(
                f"profiles.{COHORTS_FROM}.cohorts must be null: the other profiles learn from the cohorts of "
                f"{COHORTS_FROM}, which cannot choose its own events. Give it to plus or premium"
            )
        return self

    @model_validator(mode="after")
    def _night_after_publication(self) -> Self:
        over = self.sessions.afterhours_close.hour * 60 + self.sessions.afterhours_close.minute
        over += self.history.publication_delay_min
        start = self.nightly.start
        if start.hour * 60 + start.minute < over:
            raise ValueError(
                f"nightly.start {start:%H:%M} is before the session counts as over: afterhours_close "
                f"{self.sessions.afterhours_close:%H:%M} and history.publication_delay_min "
                f"{self.history.publication_delay_min} later. Start later (before midnight), or shorten the delay"
            )
        return self

    @cached_property
    def detection(self) -> DetectionParams:
        """Everything that decides which events exist."""
        return DetectionParams(
            features=self.features,
            detectors=self.detectors,
            filters=self.filters,
            score=self.score,
            cooldown=self.cooldown,
            tier_min_scores=[self.profiles[name].min_event_score for name in PROFILES],
        )


def home() -> Path:
    """The folder that holds `config/`: SMALLCAPS_HOME, else the working folder, else where this package lies.

    Raises:
        SettingsError: none of them has a `config/config.yaml`.
    """
    named = os.environ.get(HOME_VARIABLE, "").strip()
    places = [Path(named)] if named else [Path.cwd(), Path(__file__).parents[2]]
    for place in places:
        if (place / "config" / "config.yaml").is_file():
            return place.resolve()
    raise SettingsError(
        f"no config/config.yaml in {' or '.join(str(place) for place in places)}. Work inside a clone of the "
        f"repository, or set {HOME_VARIABLE} to its folder."
    )


def config_path() -> Path:
    """The configuration file in force: SMALLCAPS_CONFIG, else `config/config.yaml` of `home()`."""
    named = os.environ.get(CONFIG_VARIABLE, "").strip()
    return Path(named).resolve() if named else home() / "config" / "config.yaml"


def environment_overrides() -> dict[str, Any]:
    """Changes passed by a parent process, as nested mappings (empty if none).

    Raises:
        SettingsError: the variable holds something else.
    """
    text = os.environ.get(OVERRIDES_VARIABLE, "").strip() or "{}"
    try:
        overrides = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{OVERRIDES_VARIABLE} is not JSON ({error}). {_UNSET_OVERRIDES}") from error
    if not isinstance(overrides, dict):
        raise SettingsError(f"{OVERRIDES_VARIABLE} holds no settings, but {text:.80}. {_UNSET_OVERRIDES}")
    return overrides


def pass_to_children(config: Path, overrides: Mapping[str, Any]) -> None:
    """Make this process and the processes it starts use `config` and `overrides`."""
    os.environ[CONFIG_VARIABLE] = str(config.resolve())
    os.environ[OVERRIDES_VARIABLE] = json.dumps(overrides, default=str)


def use_dagster_home(folder: Path) -> None:
    """Make Dagster in this process and the processes it starts keep its state as `folder`/dagster.yaml says."""
    os.environ["DAGSTER_HOME"] = str(folder)
    os.environ.setdefault(BATCH_VARIABLE, BATCH_SIZE)
    # one event for all planned partitions of a run instead of one each: half the cost of a partition
    os.environ.setdefault("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")


def use_ui_address(url: str) -> None:
    """Make the processes that this one starts known as those of the web UI at `url`."""
    os.environ[UI_VARIABLE] = url


def instance_config(template: Path, folder: Path, override: Path | None = None) -> str:
    """The text of a dagster.yaml like `template` whose files lie in `folder`, whatever folder a process starts in.

    Args:
        template: a dagster.yaml.
        folder: where the state lies, as far as it is files.
        override: a file of the same form; each of its sections replaces that of `template`.

    Raises:
        SettingsError: a file is missing or cannot be read, or names an environment variable that is not set.
    """
    if not template.is_file():
        raise SettingsError(
            f"{template}: is missing. The folder that holds config/ also needs a dagster.yaml, the settings of "
            "Dagster: copy the one of the repository there."
        )
    document = _sections(template, "Correct it, or copy the one of the repository.")
    if override is not None:
        document |= _sections(override, "Correct dagster.laid_over, which names it.")
    launcher = document.get("run_launcher")
    if isinstance(launcher, dict) and launcher.get("module") == _FORMER_LAUNCHER:
        launcher["module"] = _LAUNCHER
    for section, name in (("storage", "sqlite"), ("local_artifact_storage", "config")):
        found = document.get(section)
        # without a section, files lie in `folder` by default
        if isinstance(found, dict) and name in found:
            found[name]["base_dir"] = str(folder)
    return str(yaml.safe_dump(document, sort_keys=False))


def _sections(file: Path, remedy: str) -> dict[str, Any]:
    """The sections of a dagster.yaml; the environment variables that it names are set."""
    try:
        # others read the parsed document as well
        document = deepcopy(parse_document(read_text(file)).content)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror}). {remedy}") from error
    except DocumentError as error:
        raise SettingsError(f"{file}: cannot be read ({str(error).removesuffix('.')}). {remedy}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{file}: must hold sections of a dagster.yaml, found {type(document).__name__}. {remedy}")
    missing = [name for name in _variables(document) if not os.environ.get(name)]
    if missing:
        raise SettingsError(
            f"{file}: takes {', '.join(missing)} from the environment, where they are not set. Set them."
        )
    return document


def _variables(node: object) -> Iterator[str]:
    """The environment variables that a part of a dagster.yaml names, as in `{env: NAME}`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "env" and isinstance(value, str):
                yield value
            else:
                yield from _variables(value)


def load_settings(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None, layers: Sequence[Layer] = ()
) -> Settings:
    """Read and check the settings.

    Args:
        path: a YAML file; `config_path()` if not given.
        overrides: nested mappings that override the file; those of the environment if not given.
        layers: override all of that, later ones earlier ones.

    Raises:
        SettingsError: the file is missing or not YAML, or a setting is wrong; names file, key, value and remedy.
    """
    base = file_layer(path or config_path())
    merged = override_settings(base.settings, environment_overrides() if overrides is None else overrides)
    for layer in layers:
        merged = override_settings(merged, layer.settings)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(explain_errors([base, *layers], error, Settings)) from None


def trial_settings(files: Sequence[Path] = (), arguments: Sequence[str] = ()) -> Settings:
    """The settings of an experiment.

    Args:
        files: override the configuration in force, later files earlier ones; a first file that names every section
            replaces it.
        arguments: `KEY=VALUE`, override the files.

    Raises:
        SettingsError: see `load_settings`.
    """
    layers = [file_layer(file) for file in files]
    is_whole = bool(layers) and set(Settings.model_fields) <= set(layers[0].settings)
    of_arguments = [argument_layer(argument) for argument in arguments]
    return load_settings(files[0] if is_whole else None, layers=[*layers[is_whole:], *of_arguments])


def api_key(source: SourceParams) -> SecretStr:
    """The vendor's key from the environment; a placeholder for the simulated exchange, which accepts any.

    Raises:
        NotAuthenticated: no variable is set.
    """
    if source.kind == "embedded":
        return SecretStr("embedded")
    name = key_variable(source)
    if name is None:
        raise NotAuthenticated(
            f"no API key: set the environment variable {' or '.join(source.key_variables)}, or set source.kind to "
            "embedded."
        )
    return SecretStr(os.environ[name].strip())


def key_variable(source: SourceParams) -> str | None:
    """The environment variable that the key is taken from; None if none is set."""
    return _first_set(source.key_variables)


def _first_set(variables: Sequence[str]) -> str | None:
    return next((name for name in variables if os.environ.get(name, "").strip()), None)


def flat_file_keys(source: SourceParams) -> tuple[SecretStr, SecretStr] | None:
    """Access key and secret key of the vendor's flat files from the environment; None for the simulated exchange.

    Raises:
        NotAuthenticated: a variable is not set.
    """
    if source.kind == "embedded":
        return None
    missing = missing_flat_file_keys(source)
    if missing:
        raise NotAuthenticated(
            f"no {' and no '.join(missing)}. The vendor's dashboard shows both keys of the flat files. "
            "Or set source.bars to rest."
        )
    params = source.flat_files
    access, secret = (_first_set(names) for names in (params.access_key_variables, params.secret_key_variables))
    return SecretStr(os.environ[access or ""].strip()), SecretStr(os.environ[secret or ""].strip())


def missing_flat_file_keys(source: SourceParams) -> list[str]:
    """What the environment lacks to read flat files, such as `access key: set MASSIVE_S3_ACCESS_KEY`; empty if nothing.

    Nothing is missing for the simulated exchange.
    """
    if source.kind == "embedded":
        return []
    params = source.flat_files
    needed = {"access key": params.access_key_variables, "secret key": params.secret_key_variables}
    return [
        f"{name} of flat files: set the environment variable {' or '.join(variables)}"
        for name, variables in needed.items()
        if _first_set(variables) is None
    ]


def notice_url(params: NoticeParams) -> SecretStr | None:
    """The address that failure notices are posted to, from the environment; None if the variable is not set."""
    url = os.environ.get(params.url_variable, "").strip()
    return SecretStr(url) if url else None


def settings_version(settings: Settings) -> str:
    """Twelve hex digits that differ where settings differ, but for those that each machine has its own of."""
    document = settings.model_dump(mode="json", exclude=_OF_A_MACHINE)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def lake_path(settings: Settings) -> Path:
    """The lake's folder, absolute."""
    return (home() / settings.lake.path).resolve()


def universe_file(settings: Settings) -> Path | None:
    """The file that lists the symbols, absolute; None if the settings name none."""
    return None if settings.universe.file is None else (home() / settings.universe.file).resolve()
