"""What every page shares: one file with every script, style and figure inside, and nothing to fetch.

Texts of queries, passages and models are not trusted: the template escapes them, data inside
scripts cannot end its element, and the page's policy runs only the two scripts written here.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from retroscope.typesetting.drawing import script_bundle
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import score, seconds, signed

SIZE = re.compile(r' (?:width|height)="[\d.]+"')
TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("report.css", "answer.css")
MACROS = (
    "alarms",
    "caveats",
    "facts",
    "figure",
    "model_facts",
    "statement",
    "table",
)  # templates call them


@dataclass(frozen=True)
class SectionPage:
    """One section of a page.

    Attributes:
        name: its anchor.
        title: its heading.
        question: that it answers.
        package: whose folder has its templates `section.html.j2` and, maybe, `sources.html.j2`; "" for a section that
            has no content yet.
        values: name -> what its templates read.
    """

    name: str
    title: str
    question: str
    package: str
    values: Mapping[str, object]


def fill(
    template: str,
    figures: Sequence[Figure],
    tables: Mapping[str, PaperTable],
    values: Mapping[str, object],
    sections: Sequence[SectionPage] = (),
) -> str:
    """Return the page that a template makes of figures, tables, other values and sections."""
    vega, own = (_inside_script(text) for text in (script_bundle(), (TEMPLATES / "report.js").read_text("utf-8")))
    environment = _environment()
    shared = {
        "figures": {figure.name: figure for figure in figures},
        "specs": {figure.name: json_for_script(figure.specification) for figure in figures},
        "tables": tables,
        **values,
    }
    return environment.get_template(template).render(
        sections=[{"page": one, "body": _part(one, "section", shared), "sources": _part(one, "sources", shared)}
                  for one in sections],
        scripts=(vega, own),
        policy=policy((vega, own)),
        css=Markup("".join((TEMPLATES / name).read_text("utf-8") for name in STYLES)),
        **shared,
    )  # fmt: skip


def _part(section: SectionPage, part: str, shared: Mapping[str, object]) -> Markup:
    """Render a part of a section as HTML, or "" if its package has no such template."""
    if not section.package:
        return Markup("")
    folder = Path(str(files(section.package)))
    file = folder / f"{part}.html.j2"
    if not file.is_file():
        return Markup("")
    taken = sorted({*MACROS, *shared} & {*section.values})
    if taken:
        raise ValueError(f"the section {section.name} gives its templates values called {', '.join(taken)}")
    code = f"{{% from 'macros.html.j2' import {', '.join(MACROS)} with context %}}\n{file.read_text('utf-8')}"
    return Markup(_environment().from_string(code).render({**shared, **section.values, "page": section}))


def json_for_script(value: object) -> Markup:
    """Return JSON that is safe inside a script element: no character of it can open or close a tag."""
    text = json.dumps(value, separators=(",", ":"))  # ASCII only, so U+2028 and U+2029 are escaped already
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def inline_svg(drawn: str, words: str) -> Markup:
    """Return an SVG that scales to the width of its place, with the words that describe it.

    Args:
        drawn: from `drawing.svg`, which escapes every text in it.
        words: for those who cannot see it.
    """
    opened = drawn[drawn.index("<svg") :]
    opened = SIZE.sub("", opened, count=2)  # the box that is left says the proportions
    return Markup('<svg role="img" aria-label="{}"').format(words) + Markup(opened.removeprefix("<svg"))


def policy(scripts: Sequence[Markup]) -> str:
    """Return the content security policy: nothing is fetched, and only these scripts run."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _inside_script(code: str) -> Markup:
    return Markup(code.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


def _pretty(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, default=str, ensure_ascii=False)


def _plain(value: object) -> str:
    """Print a setting on one line: lists with commas, None as "none"."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _shallow(value: Mapping[str, object]) -> dict[str, object]:
    """Return the entries that are not mappings, sorted by name."""
    return {key: value[key] for key in sorted(value) if not isinstance(value[key], Mapping)}


def _tied(text: str) -> str:
    """Keep the p-values of a text on one line."""
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
    environment.filters.update(
        score=score, signed=signed, seconds=seconds, pretty=_pretty, plain=_plain, shallow=_shallow, tied=_tied
    )
    return environment
