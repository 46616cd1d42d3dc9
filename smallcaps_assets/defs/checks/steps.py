"""Steps that run the checks of several assets together: a run then has fewer steps to schedule and to read."""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg

from smallcaps_assets.defs.checks.asset_checks import check_specs, report_findings
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.unexpected import UNFORESEEN

# The checks of an asset, from what `prepare` of `checks_step` made ready for all assets of a step.
ChecksOf = Callable[[dg.AssetKey], Checks]


def checks_step(
    name: str,
    texts: Mapping[dg.AssetKey, Mapping[str, str]],
    prepare: Callable[[SettingsResource, LakeResource, Callable[[str], None]], ChecksOf],
) -> dg.AssetChecksDefinition:
    """The checks of some assets in one step, of which any may be selected.

    An error in the checks of one asset keeps no other from being checked; it is raised at the end.

    Args:
        name: of the step.
        texts: by asset, the description of each check.
        prepare: makes the function that returns the checks of an asset; called once per run, with a function that logs.
    """
    specs = [spec for asset, described in texts.items() for spec in check_specs(asset, described)]

    @dg.multi_asset_check(name=name, specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = context.selected_asset_check_keys
        checks_of, first = prepare(settings, lake, context.log.info), None
        for asset in texts:
            names = {key.name for key in chosen if key.asset_key == asset}
            try:
                if names:
                    yield from report_findings(asset, run_checks(checks_of(asset), names))
            except UNFORESEEN as error:
                context.log.warning("checks of %s: %s", asset.to_user_string(), error)
                first = first or error
        if first is not None:
            raise first

    return checks
