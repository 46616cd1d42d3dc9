"""The settings of the research tables in one flat section."""

import pytest

from smallcaps_assets.domain.research.params import ResearchParams


def test_keys_of_all_parts_are_in_one_section() -> None:
    params = ResearchParams.model_validate({"causal_min_dollars": 5.0, "auction": [9], "grid_hz": 10})
    assert (params.causal_min_dollars, params.auction, params.grid_hz) == (5.0, (9,), 10)
    assert params.grid_step_ns == 100_000_000
    assert params.split_min_factor == 1.05


def test_keys_that_several_parts_have_mean_the_same() -> None:
    """A key of two parts must have one default, whichever of them a table is given."""
    for part in ResearchParams.__bases__:
        for name, field in part.model_fields.items():
            assert field.default == ResearchParams.model_fields[name].default, name


@pytest.mark.parametrize("key", ["causal_min_dolars", "grid_hertz"])
def test_a_key_that_is_none_is_rejected_by_name(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        ResearchParams.model_validate({key: 1})
