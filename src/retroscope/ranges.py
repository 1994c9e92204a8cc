"""Ranges of numbers in the types of settings, such as `steps: Annotated[int, Range(1, 10**9)]`.

`check_ranges` checks every field of a settings object against its type, before models and data are loaded.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from retroscope.errors import SettingsError, excerpt


@dataclass(frozen=True)
class Range:
    """Allowed range of a number from `low` to `high`, both included; with `open`, both excluded.

    Attributes:
        special: values outside the range that are also allowed, such as 0 for "all".
        why: meaning of the number, or reason for its range, which an error prints.
    """

    low: float
    high: float
    open: bool = False
    special: tuple[float, ...] = ()
    why: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a number is in the range or one of `special`. NaN never is."""
        inside = self.low < value < self.high if self.open else self.low <= value <= self.high
        return inside or value in self.special

    def __str__(self) -> str:
        low, high = ("more than", "less than") if self.open else ("at least", "at most")
        ends = f"{low} {_typed(self.low)} and {high} {_typed(self.high)}"
        return ", or ".join([ends, *map(_typed, self.special)]) + (f": {self.why}" if self.why else "")

    def __get_pydantic_core_schema__(self, kind: Any, schema_of: Callable[[Any], Any]) -> Any:
        """Make pydantic read a number, but refuse true and false, which it would read as 1 and 0."""
        from pydantic_core import core_schema  # known wherever pydantic asks, and help need not wait for it

        return core_schema.no_info_before_validator_function(_no_truth, schema_of(kind))


@dataclass(frozen=True)
class Distinct:
    """Constraint on a list: all values must differ."""


@dataclass(frozen=True)
class Limit:
    """One constraint on the value of a settings field.

    Attributes:
        mark: the constraint in the field's type: a range of its numbers, or that all items of a list differ.
        whole: whether only whole numbers are allowed.
        items: whether the field is a list, so that the range holds for each of its items.
    """

    mark: Range | Distinct
    whole: bool
    items: bool


Seed = Annotated[int, Range(0, 2**32 - 1)]
OneOrMore = Annotated[int, Range(1, 10**9)]
AnyNumber = Annotated[int, Range(0, 10**9)]
Positive = Annotated[float, Range(0, 10**6, open=True)]
Fraction = Annotated[float, Range(0, 1)]
OpenFraction = Annotated[float, Range(0, 1, open=True)]
Resamplings = Annotated[int, Range(1, 10**7)]


def check_ranges(settings: Any) -> None:
    """Refuse settings with a number out of its range, a value that is not a number, or a list that repeats a value.

    Raises:
        SettingsError: for the first such field. The message names its value and what is allowed.
    """
    limits = _limits(type(settings))  # type: ignore[arg-type]  # mypy takes a class for unhashable
    for field in fields(settings):
        value = getattr(settings, field.name)
        for limit in limits[field.name] if value is not None else ():
            if isinstance(limit.mark, Distinct):
                _check_distinct(field.name, value, type(settings).__name__)
            else:
                for number in value if limit.items and isinstance(value, tuple | list) else (value,):
                    _check_number(field.name, number, limit.mark, limit.whole, type(settings).__name__)


def _check_number(name: str, value: Any, limit: Range, whole: bool, where: str) -> None:
    kind, noun = (Integral, "whole number") if whole else (Real, "number")
    if isinstance(value, bool) or not isinstance(value, kind):
        raise SettingsError(f"{name} is {excerpt(value)}, not a {noun}", where=where, fix=f"give a {noun}, {limit}")
    if not limit.holds(value):  # type: ignore[arg-type]
        raise SettingsError(f"{name} is {excerpt(value)}, which is out of range", where=where, fix=f"give {limit}")


def _check_distinct(name: str, values: Any, where: str) -> None:
    if not isinstance(values, tuple | list):
        raise SettingsError(f"{name} is {excerpt(values)}, not a list", where=where, fix="give a list, e.g. [a, b]")
    if len({float(value) if isinstance(value, Real) else repr(value) for value in values}) < len(values):
        raise SettingsError(
            f"{name} contains a value more than once: {excerpt(values)}", where=where, fix="give each value once"
        )


@cache
def _limits(kind: type) -> dict[str, list[Limit]]:
    """Map the name of each field of a settings class to the constraints in its type."""
    return {name: list(_limits_in(hint)) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _limits_in(hint: Any, items: bool = False) -> Iterator[Limit]:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        yield from (Limit(mark, inner is int, items) for mark in marks if isinstance(mark, Range | Distinct))
        yield from _limits_in(inner, items)
    else:
        inside = items or get_origin(hint) in (tuple, list)
        for part in get_args(hint):
            if not isinstance(part, list):
                yield from _limits_in(part, inside)


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("expected a number, found true or false")
    return value


def _typed(number: float) -> str:
    """Format a number without exponent if it is whole, with commas between thousands: "1,000"."""
    return f"{number:,.0f}" if math.isfinite(number) and number == round(number) else f"{number:g}"
