"""What every page shares: one file with every script, style and figure inside, and nothing to fetch.

Texts of queries, passages and models are not trusted: the template escapes them, data inside
scripts cannot end its element, and the page's policy runs only the two scripts written here.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from retroscope.typesetting.drawing import script_bundle
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.numbers import score, seconds, signed

TEMPLATES = Path(__file__).parent / "templates"


def fill(
    template: str, figures: Sequence[Figure], tables: Mapping[str, PaperTable], values: Mapping[str, object]
) -> str:
    """The page that a template makes of figures, tables and other values."""
    vega, own = (_inside_script(text) for text in (script_bundle(), (TEMPLATES / "report.js").read_text("utf-8")))
    return (
        _environment()
        .get_template(template)
        .render(
            figures={figure.name: figure for figure in figures},
            specs={figure.name: json_for_script(figure.specification) for figure in figures},
            tables=tables,
            scripts=(vega, own),
            policy=policy((vega, own)),
            css=Markup((TEMPLATES / "report.css").read_text("utf-8")),
            **values,
        )
    )


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


def _shallow(value: Mapping[str, object]) -> dict[str, object]:
    """The entries that are not mappings themselves, by name: a recipe read from disk has another order."""
    return {key: value[key] for key in sorted(value) if not isinstance(value[key], Mapping)}


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
    environment.filters.update(
        score=score, signed=signed, seconds=seconds, pretty=_pretty, plain=_plain, shallow=_shallow, tied=_tied
    )
    return environment
