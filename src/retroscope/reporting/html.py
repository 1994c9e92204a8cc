"""The report as one page: every script, style, figure and number inside, nothing to fetch.

Texts of queries, passages and models are not trusted: the template escapes them, data inside
scripts cannot end its element, and the page's policy runs only the two scripts written here.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from retroscope.reporting.figure import Figure
from retroscope.reporting.figures import script_bundle, specification
from retroscope.reporting.findings import AFTER, BEFORE, Findings, TopPassages
from retroscope.reporting.frames import alpha
from retroscope.reporting.numbers import score, seconds, signed
from retroscope.reporting.paper_tables import PAPER_TABLES
from retroscope.reporting.verdict import verdict

TEMPLATES = Path(__file__).parent / "templates"
FLIPS_SHOWN = 60
PASSAGES_SHOWN = 3
PASSAGE_CHARACTERS = 320


@dataclass(frozen=True)
class FlippedQuery:
    """A row of the flips table."""

    id: str
    text: str
    before: float
    after: float
    change: float
    tops: tuple[tuple[str, list[dict[str, Any]]], ...]


def render(findings: Findings, figures: Sequence[Figure]) -> str:
    """The page as HTML."""
    vega, own = (_inside_script(text) for text in (script_bundle(), (TEMPLATES / "report.js").read_text("utf-8")))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            f=findings,
            sides=((BEFORE, findings.before), (AFTER, findings.after)),
            verdict=verdict(findings),
            figures={figure.name: figure for figure in figures},
            specs={figure.name: json_for_script(specification(figure)) for figure in figures},
            tables={name: make(findings) for name, make in PAPER_TABLES.items()},
            flips=flipped_queries(findings),
            methods=methods(findings),
            scripts=(vega, own),
            policy=policy((vega, own)),
            css=Markup((TEMPLATES / "report.css").read_text("utf-8")),
        )
    )


def flipped_queries(findings: Findings) -> list[FlippedQuery]:
    """The queries that changed most by the flip measure, half of them losses where there are as many."""
    flips = findings.retrieval.flips(measure=findings.flip_measure)
    half = FLIPS_SHOWN // 2
    losses = [f for f in flips if f.change < 0]
    gains = [f for f in flips if f.change > 0][: FLIPS_SHOWN - min(half, len(losses))]
    shown = sorted([*gains, *losses[: FLIPS_SHOWN - len(gains)]], key=lambda f: (-abs(f.change), f.query_id))
    return [
        FlippedQuery(
            f.query_id, findings.query_texts.get(f.query_id, ""), f.before, f.after, f.change,
            _tops(findings.top_passages.get(f.query_id)),
        )
        for f in shown
    ]  # fmt: skip


def methods(findings: Findings) -> dict[str, Mapping[str, Any]]:
    """How every difference was computed."""
    found = {"Retrieval": findings.retrieval, "By layer": findings.layer_retrieval, "Probing": findings.probing}
    return {name: {**d.method, "alpha": alpha(d)} for name, d in found.items() if d is not None}


def json_for_script(value: object) -> Markup:
    """JSON that is safe inside a script element: no character of it can open or close a tag."""
    text = json.dumps(value, separators=(",", ":"))  # ASCII only, so U+2028 and U+2029 are escaped already
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def policy(scripts: Sequence[Markup]) -> str:
    """The content security policy: nothing is fetched, and only these scripts run."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _tops(found: TopPassages | None) -> tuple[tuple[str, list[dict[str, Any]]], ...]:
    if found is None:
        return ()
    return tuple(
        (side, [{"id": p.id, "text": _short(p.text), "score": p.score, "relevant": p.relevant} for p in ranking])
        for side, ranking in ((BEFORE, found.before[:PASSAGES_SHOWN]), (AFTER, found.after[:PASSAGES_SHOWN]))
    )


def _short(text: str) -> str:
    return text if len(text) <= PASSAGE_CHARACTERS else f"{text[:PASSAGE_CHARACTERS].rstrip()} ..."


def _inside_script(code: str) -> Markup:
    return Markup(code.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, default=str, ensure_ascii=False)


def _plain(value: object) -> str:
    """A setting on one line: lists with commas, nothing as "none"."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _tied(text: str) -> str:
    """The text with its p-values kept on one line."""
    return text.replace("p < ", "p\u00a0<\u00a0").replace("p = ", "p\u00a0=\u00a0")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(score=score, signed=signed, seconds=seconds, pretty=_pretty, plain=_plain, tied=_tied)
    return environment
