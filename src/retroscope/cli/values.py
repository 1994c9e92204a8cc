"""Convert the text of command-line options to values of settings."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from retroscope.errors import SettingsError, excerpt

KIBI, KILO = 1024, 1000
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def comma_separated(text: str | None) -> list[str] | None:
    """Return the parts of a comma-separated option, or None where it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str | None, option: str) -> list[int] | None:
    """Return the whole numbers of a comma-separated option, or None where it was not given.

    Raises:
        SettingsError: if a part of the text is not a whole number.
    """
    parts = comma_separated(text)
    wrong = [part for part in parts or () if not (part.isascii() and part.isdecimal())]
    if wrong:
        raise SettingsError(
            f"invalid number {wrong[0]!r}", where=option, fix="write whole numbers with commas between them, e.g. 2,3,5"
        )
    return None if parts is None else [int(part) for part in parts]


def stored_layers(text: str | None, option: str = "--store-layers") -> list[int] | None:
    """Return the numbers of the layers to store: an empty list for "final", or None where the option was not given.

    Raises:
        SettingsError: if the text is neither "final" nor a list of whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if parts == ["final"]:
        return []
    if all(part.isascii() and part.isdecimal() for part in parts):
        return [int(part) for part in parts]
    raise SettingsError(
        f"invalid layers {excerpt(text)}",
        where=option,
        fix="write final, or numbers in ascending order with commas between them, e.g. 0,6,12; without the option all "
        "layers are stored",
    )


def shares(text: str | None, option: str) -> list[float] | None:
    """Return the numbers of a comma-separated option, such as "0.1,0.2", or None where it was not given.

    Raises:
        SettingsError: if a part of the text is not a number.
    """
    parts = comma_separated(text)
    try:
        return None if parts is None else [float(part) for part in parts]
    except ValueError as error:
        raise SettingsError(
            f"invalid list {text!r}", where=option, fix="write numbers with commas between them, e.g. 0.1,0.2"
        ) from error


def in_bytes(text: str | None, option: str = "--memory") -> int | None:
    """Return the number of bytes that a size like 4GiB, 500MB or 2e9 stands for, or None where it was not given.

    Raises:
        SettingsError: for a text that names no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([KMGT]i?B?|B)?\s*", text, re.IGNORECASE)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0:
        raise SettingsError(f"invalid size {text!r}", where=option, fix="use a number and a unit, e.g. 4GiB")
    unit = (match[2] or "B").upper().removesuffix("B")
    power = "KMGT".index(unit[0]) + 1 if unit else 0
    return int(number * (KIBI if unit.endswith("I") else KILO) ** power)


def duration(text: str | None, option: str = "--time") -> float | None:
    """Return the seconds of a duration like 90s, 10m or 1.5h (for "all", infinity), or None where it was not given.

    Raises:
        SettingsError: for a text that names no duration.
    """
    if text is None or text == "all":
        return None if text is None else math.inf
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text, re.ASCII)
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise SettingsError(f"invalid time {text!r}", where=option, fix="use a number and a unit, e.g. 10m, or all")
    return seconds


def measures(text: str | None) -> list[str] | None:
    """Return the retrieval measures that a comma-separated option names, or None if it was not given.

    Raises:
        SettingsError: for a measure that does not exist, and for two names of one measure.
    """
    parts = comma_separated(text)
    if parts is not None:
        from retroscope.retrieval.measures import check_distinct_measures

        check_distinct_measures(parts)
    return parts


def model_values(name: str, load: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of one model from its argument: NAME, or query=NAME,passage=NAME.

    Raises:
        SettingsError: if the towers in the argument are not exactly `query` and `passage`.
    """
    blank = dict.fromkeys(("source", "query", "passage"))  # names in a settings file are of another model
    if "=" not in name or Path(name).exists():
        return {**blank, "source": name, "load": dict(load)}
    towers = dict(part.partition("=")[::2] for part in name.split(","))
    if set(towers) != {"query", "passage"} or not all(towers.values()):
        raise SettingsError(
            f"invalid model {name!r}", fix="write NAME for one model, or query=NAME,passage=NAME for two towers"
        )
    return {**blank, **towers, "load": dict(load)}


def given(**options: object) -> dict[str, object]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def split_or_spec(name: str | None, data: str) -> dict[str, str] | None:
    """Return the settings of a collection. `name` is a spec (FORMAT:PATH) or a split of `data`; None gives None."""
    if name is None:
        return None
    own = ":" in name or "/" in name or Path(name).exists()
    return {"source": name} if own else {"source": data, "split": name}
