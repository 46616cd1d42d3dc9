"""What every group of settings has in common: frozen, complete, of the right type, without unknown keys."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """A frozen group of settings. No field has a default: the numbers stand in `config/config.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
