"""Options that several commands share, declared once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from retroscope.errors import SettingsError

Model = Annotated[
    str,
    typer.Argument(help="Folder or hub name; two towers as query=NAME,passage=NAME; a GGUF file.", metavar="MODEL"),
]
Data = Annotated[
    str, typer.Option("--data", help="Collection: a path or FORMAT:PATH, e.g. beir:data/nq.", metavar="SPEC")
]
Split = Annotated[str | None, typer.Option("--split", help="Of the judgments, where there are several.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write to.", metavar="DIR")]
RequiredOut = Annotated[Path, typer.Option("--out", help="Folder to write to.", metavar="DIR")]
Pooling = Annotated[
    str | None,
    typer.Option("--pooling", help="cls, pooler, mean, last_token, max or weighted_mean; else the checkpoint's."),
]
MaxLength = Annotated[int | None, typer.Option("--max-length", help="Tokens kept of a text.")]
Protocol = Annotated[
    str | None, typer.Option("--protocol", help="default, or ielab-2025: as published, quirks included.")
]
Similarity = Annotated[str | None, typer.Option("--similarity", help="dot or cosine; else the checkpoint's.")]
QueryPrompt = Annotated[str | None, typer.Option("--query-prompt", help="Put before every query.")]
PassagePrompt = Annotated[str | None, typer.Option("--passage-prompt", help="Put before every passage.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps.")]
Measures = Annotated[
    str | None, typer.Option("--measures", help="ir-measures names, comma-separated; the first is the headline.")
]
Passages = Annotated[str | None, typer.Option("--passages", help="N of the probes, comma-separated.")]
Probes = Annotated[str | None, typer.Option("--probes", help="Comma-separated; else the protocol's.")]
Controls = Annotated[str | None, typer.Option("--controls", help="Comma-separated; else all of them.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Splits to probe under.")]
Layers = Annotated[bool, typer.Option("--layers", help="Rank by every layer's vectors too.")]
Interactions = Annotated[
    int | None,
    typer.Option(
        "--interactions",
        help="Shapley values and pairs of at most N (2 to 6) groups of blocks: transplants 2^N subsets.",
        metavar="N",
    ),
]
Limit = Annotated[int | None, typer.Option("--limit-queries", help="Only the first so many judged queries.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else.")]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="YAML file of settings; options given here win.", metavar="FILE")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one setting, e.g. probing.rank=32; may be repeated.", metavar="A.B=C"),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Folder of the vector stores; else $RETROSCOPE_CACHE or the user's.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan, its size and its time; do nothing.")]


def fractions(text: str | None) -> list[float] | None:
    """The shares of a comma-separated option; None where it was not given."""
    parts = listed(text)
    if parts is None:
        return None
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise SettingsError("this is no list of numbers", where=text or "", fix="write them as 0.1,0.2") from error


def in_bytes(text: str | None) -> int | None:
    """The bytes that a size like 4GiB, 500MB or 2e9 names; None where it was not given."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*([\d.]+(?:e\d+)?)\s*([KMGT]i?B?|B)?\s*", text, re.IGNORECASE)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0:
        raise SettingsError(f"{text!r} is no size", where="--memory", fix="write e.g. 4GiB or 500MB")
    unit = (match[2] or "B").upper().removesuffix("B")
    power = "KMGT".index(unit[0]) + 1 if unit else 0
    return int(number * (1024 if unit.endswith("I") else 1000) ** power)


def listed(text: str | None) -> list[str] | None:
    """The parts of a comma-separated option; None where it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str | None) -> list[int] | None:
    """The numbers of a comma-separated option; None where it was not given."""
    parts = listed(text)
    if parts is None:
        return None
    wrong = [part for part in parts if not part.isdecimal()]
    if wrong:
        raise SettingsError(f"{wrong[0]!r} is no number", where=text or "", fix="write them as 2,3,5")
    return [int(part) for part in parts]


def model_values(name: str, load: Mapping[str, object]) -> dict[str, object]:
    """Settings of one model from its argument: a name, or query=NAME,passage=NAME."""
    blank = dict.fromkeys(("source", "query", "passage"))  # what a settings file says of the others is not meant
    if "=" not in name or Path(name).exists():
        return {**blank, "source": name, "load": dict(load)}
    towers = dict(part.partition("=")[::2] for part in name.split(","))
    if set(towers) != {"query", "passage"} or not all(towers.values()):
        raise SettingsError(f"{name!r} does not name two towers", fix="write query=NAME,passage=NAME")
    return {**blank, **towers, "load": dict(load)}


def given(**options: object) -> dict[str, object]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def split_or_spec(name: str | None, data: str) -> dict[str, str] | None:
    """A collection named by a split of another, or by its own spec."""
    if name is None:
        return None
    own = ":" in name or "/" in name or Path(name).exists()
    return {"source": name} if own else {"source": data, "split": name}
