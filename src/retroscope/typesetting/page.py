"""Build HTML pages of one file each, with all scripts, styles and figures, which load nothing from elsewhere.

Texts of queries, passages and models are not trusted: the template escapes them, and data for scripts is embedded as
compressed text. The page's content security policy allows only the scripts of this package and of the figure library,
by their hashes.
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
from typing import cast

import jinja2
from markupsafe import Markup

from retroscope.files.documents import packed, packed_json
from retroscope.number_format import exact_percent, score, seconds, signed
from retroscope.typesetting.charts.drawing import script_bundle, svg
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.latex import PaperTable, booktabs
from retroscope.typesetting.statements import Statement

ROLES = re.compile(r' (?:role|aria-\w+)="[^"]*"')  # of the parts of a drawing, which has one text for all
SIZE = re.compile(r' (?:width|height)="[\d.]+"')
TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("report.css", "answer.css")
WITHOUT_SCRIPTS = Markup(".scripted, [data-figure], [id^=figure-]:not(.main) { display: none; }")
SCRIPTS = ("page.js", "queries.js")
MACROS = (  # templates call them
    "alarms",
    "caveats",
    "facts",
    "figure",
    "fold",
    "model_facts",
    "statement",
    "table",
)


@dataclass(frozen=True)
class SectionPage:
    """One section of a page: its heading, the package of its template, and its values and statements.

    Attributes:
        name: anchor of the section.
        title: its heading.
        question: the question that it answers.
        package: package whose folder has its templates `section.html.j2` and, optionally, `sources.html.j2`, or "" for
            a section that has no content yet.
        values: name in its templates -> value.
        statements: all statements of the section. The first is its answer.
        label: a sentence that names the only training run (of several) that the section is about, or "".
    """

    name: str
    title: str
    question: str
    package: str
    values: Mapping[str, object]
    statements: Sequence[Statement] = ()
    label: str = ""

    @property
    def answer(self) -> str:
        """Return the text of the first statement that is neither a failed control nor a caution, or "" without one."""
        return next((s.tied for s in self.statements if not (s.failed or s.caution)), "")


def fill(
    template: str,
    figures: Sequence[Figure],
    tables: Mapping[str, PaperTable],
    values: Mapping[str, object],
    sections: Sequence[SectionPage] = (),
) -> str:
    """Render an HTML page from a template, figures, tables, other values and sections.

    Args:
        template: its file name.
        figures: figures of all sections.
        tables: tables of all sections.
        values: other values of the template, by name. The value "data" maps names to JSON-like values for the page's
            scripts.
        sections: sections of the analyses, in reading order.
    """
    library, own = script_bundle(), [_inside_script((TEMPLATES / name).read_text("utf-8")) for name in SCRIPTS]
    style = Markup("".join((TEMPLATES / name).read_text("utf-8") for name in STYLES))
    environment = _environment()
    data = cast(Mapping[str, object], values.get("data", {}))
    shared = {"figures": {figure.name: figure for figure in figures}, "tables": tables, **values, "data": data}
    return environment.get_template(template).render(
        sections=[
            {"page": section, "body": _part(section, "section", shared), "sources": _part(section, "sources", shared)}
            for section in sections
        ],
        scripts=own,
        packed={"library": Markup(packed(library)), **_packed_data(figures, tables, data)},
        policy=policy([library, *own], [style, WITHOUT_SCRIPTS]),
        styles=(style, WITHOUT_SCRIPTS),
        **shared,
    )  # fmt: skip


def _packed_data(
    figures: Sequence[Figure], tables: Mapping[str, PaperTable], data: Mapping[str, object]
) -> dict[str, Markup]:
    """Return the compressed data for the page's scripts: figures, tables, and other data."""
    sources = {
        name: {"csv": str(table.frame.to_csv(index=False, lineterminator="\n")), "latex": booktabs(table, name)}
        for name, table in tables.items()
    }
    specifications = {figure.name: figure.specification for figure in figures if figure.on_page}
    return {
        name: Markup(packed_json(one))
        for name, one in ({"figures": specifications, "tables": sources} | dict(data)).items()
    }


def _part(section: SectionPage, part: str, shared: Mapping[str, object]) -> Markup:
    """Render one template of a section as HTML, or return "" if its package has no such template.

    Args:
        part: "section" (the content) or "sources" (the list of references).
        shared: figures, tables and values that all sections can use, by name.
    """
    if not section.package:
        return Markup("")
    folder = Path(str(files(section.package)))
    file = folder / f"{part}.html.j2"
    if not file.is_file():
        return Markup("")
    reserved = sorted({*MACROS, *shared} & {*section.values})
    if reserved:
        raise ValueError(
            f"the section {section.name!r} gives its templates values with reserved names: {', '.join(reserved)}"
        )
    code = f"{{% from 'macros.html.j2' import {', '.join(MACROS)} with context %}}\n{file.read_text('utf-8')}"
    return Markup(_environment().from_string(code).render({**shared, **section.values, "page": section}))


def inline_svg(drawn: str, words: str, *, scaled: bool = True) -> Markup:
    """Return an SVG for embedding in a page, with its alternative text.

    Args:
        drawn: SVG from `drawing.svg`, which escapes every text in it.
        words: description for those who cannot see it.
        scaled: let the drawing take the full available width. Otherwise, it keeps its own size.
    """
    opened = ROLES.sub("", drawn[drawn.index("<svg") :])
    if scaled:
        opened = SIZE.sub("", opened, count=2)  # the box that is left says the proportions
    return Markup('<svg role="img" aria-label="{}"').format(words) + Markup(opened.removeprefix("<svg"))


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Return the content security policy of a page. It allows only these scripts and styles, and no requests."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


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
    """Return the entries whose values are not mappings, sorted by name."""
    return {key: value[key] for key in sorted(value) if not isinstance(value[key], Mapping)}


def _picture(figure: Figure) -> Markup:
    """Draw a figure as SVG, for readers without JavaScript."""
    return inline_svg(svg(figure.paper_specification), figure.alt, scaled=False)


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
        exact_percent=exact_percent,
        score=score,
        signed=signed,
        seconds=seconds,
        pretty=_pretty,
        plain=_plain,
        shallow=_shallow,
        picture=_picture,
    )
    return environment
