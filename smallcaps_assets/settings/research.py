"""Settings of the research tables, as given on the command line."""

from collections.abc import Sequence

from pydantic import ValidationError

from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.settings.layers import argument_layer, override_settings
from smallcaps_assets.settings.problems import explain_errors


def research_settings(base: ResearchParams, arguments: Sequence[str]) -> ResearchParams:
    """The settings in force, overridden by `KEY=VALUE`.

    Raises:
        SettingsError: there is no such setting, or its value is wrong.
    """
    layers = [argument_layer(argument) for argument in arguments]
    merged = base.model_dump(mode="json")
    for layer in layers:
        merged = override_settings(merged, layer.settings)
    try:
        return ResearchParams.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(explain_errors(layers, error, ResearchParams)) from None
