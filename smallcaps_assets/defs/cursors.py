"""What a sensor remembers from one tick to the next, in Dagster's state."""

from typing import TypeVar

import dagster as dg
from pydantic import TypeAdapter

Remembered = TypeVar("Remembered")


def read_cursor(context: dg.SensorEvaluationContext, form: TypeAdapter[Remembered]) -> Remembered:
    """What the last tick of a sensor remembered, as its JSON cursor; what `{}` is to `form` where there is none.

    A cursor that is not of this form, such as one of a damaged state, is logged, and the sensor begins anew.
    """
    try:
        return form.validate_json(context.cursor or "{}")
    except ValueError:
        context.log.warning(
            "The cursor of this sensor is not one that it wrote, as after damage of Dagster's state. The sensor begins "
            "anew and reports its results once more; nothing needs to be done."
        )
        return form.validate_json("{}")
