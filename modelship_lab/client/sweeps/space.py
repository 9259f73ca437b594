"""The space of a sweep: what each parameter may be.

{
    "learning_rate": lab.loguniform(1e-5, 1e-1),    # a number, drawn evenly over its magnitude
    "dropout": lab.uniform(0, 0.5),                 # a number
    "layers": lab.randint(1, 4),                    # a whole number, both ends included
    "optimizer": ["adam", "sgd"],                   # one of these
    "epochs": 10,                                   # the same in every trial
}
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from modelship_lab.client.runs import as_json
from modelship_lab.records.errors import InvalidInput

LARGEST_GRID = 100_000


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Whether they are drawn evenly over their magnitude."""
    integer: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InvalidInput(
                f"A range goes from a number up to a number, not from {self.low} to {self.high}."
            )
        if self.log and self.low <= 0:
            raise InvalidInput(f"A logarithmic range begins above 0, not at {self.low:g}.")

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" + (":log" if self.log else "")


def uniform(low: float, high: float) -> Range:
    """Any number from `low` to `high`."""
    return Range(_number(low), _number(high))


def loguniform(low: float, high: float) -> Range:
    """Any number from `low` to `high`, drawn evenly over its magnitude, as suits a learning rate."""
    return Range(_number(low), _number(high), log=True)


def randint(low: int, high: int, *, log: bool = False) -> Range:
    """A whole number from `low` to `high`, both included."""
    if not all(float(_number(end)).is_integer() for end in (low, high)):
        raise InvalidInput(f"A range of whole numbers has whole numbers at its ends, not {low} and {high}.")
    return Range(int(low), int(high), log=log, integer=True)


def choice(values: Iterable[Any]) -> list[Any]:
    """One of the values; a list says the same."""
    return list(values)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"A range goes from a number up to a number; {value!r:.60} is none.")
    return value


class Space:
    """The parameters of a sweep.

    Args:
        parameters: for each name a `Range`, a list of values, or one value that all trials have.

    Raises:
        InvalidInput: a parameter has no value, or is a tuple, which could mean both.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.choices: dict[str, list[Any]] = {}
        self.ranges: dict[str, Range] = {}
        self.constants: dict[str, Any] = {}
        for name, values in parameters.items():
            if not isinstance(name, str) or not name:
                raise InvalidInput(f"The name of a parameter is a text, not {name!r:.60}.")
            if isinstance(values, tuple):
                raise InvalidInput(
                    f"{name}={values!r:.60} could be values or a range: write a list of values, "
                    "or lab.uniform(low, high)."
                )
            if isinstance(values, Range):
                self.ranges[name] = values
            elif isinstance(values, list | range):
                self.choices[name] = list(values)
                if not self.choices[name]:
                    raise InvalidInput(f"The parameter {name} has no value to try.")
            else:
                self.constants[name] = values
        if not self.names:
            raise InvalidInput(
                "There is nothing to sweep: give at least one parameter a list of values or a range, "
                "e.g. {'learning_rate': lab.loguniform(1e-5, 1e-1)}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ between trials."""
        return (*self.choices, *self.ranges)

    @property
    def size(self) -> int | None:
        """How many different trials there are; None: no end of them."""
        return None if self.ranges else math.prod(map(len, self.choices.values()))

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of the values, the last parameter changing fastest.

        Raises:
            InvalidInput: a parameter has a range, or there are too many.
        """
        if self.ranges:
            raise InvalidInput(
                f"A grid takes lists of values; {', '.join(self.ranges)} has a range. "
                "Choose sampler='tpe' or 'random', or list the values."
            )
        if math.prod(map(len, self.choices.values())) > LARGEST_GRID:
            raise InvalidInput(
                f"The grid has {self.size:,} points. Choose fewer values, or sampler='tpe' with a number of trials."
            )
        return (
            dict(zip(self.choices, values, strict=True)) | self.constants
            for values in product(*self.choices.values())
        )

    def place(self, name: str, value: Any) -> int:
        """Where a value, also one that was stored in a run, is among the choices of a parameter.

        Raises:
            ValueError: it is none of them.
        """
        return [json.dumps(as_json(one)) for one in self.choices[name]].index(json.dumps(as_json(value)))

    def has(self, params: Mapping[str, Any]) -> bool:
        """Whether parameters, also those that were stored in a run, are a point of the space."""
        try:
            for name in self.choices:
                self.place(name, params[name])
            return all(one.low <= params[name] <= one.high for name, one in self.ranges.items())
        except (KeyError, ValueError, TypeError):
            return False

    def key(self, params: Mapping[str, Any]) -> str:
        """What tells one combination from another, also after it was stored in a run."""
        return json.dumps([as_json(params.get(name)) for name in self.names])

    def as_json(self) -> dict[str, Any]:
        """The space as it is kept in the sweep's run."""
        ranges = {
            name: {"low": one.low, "high": one.high, "log": one.log, "integer": one.integer}
            for name, one in self.ranges.items()
        }
        return ranges | {
            name: as_json(value) for name, value in (*self.choices.items(), *self.constants.items())
        }
