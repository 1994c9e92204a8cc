"""Write docs/reference/settings.md: every setting, its default and its meaning, from the classes of settings.

python tools/settings_page.py
"""

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from retroscope.analyses import analyses
from retroscope.inputs.settings import StudySettings
from retroscope.study.training.grid_settings import GridSettings
from retroscope.study.training.settings import EditStudySettings, PretrainStudySettings, TrainStudySettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
FILES = {
    "`compare`, `retrieve`, `probe`, `neurons` or `transplant`": StudySettings,
    "`train`": TrainStudySettings,
    "`pretrain`": PretrainStudySettings,
    "`edit`": EditStudySettings,
    "`ablate`": GridSettings,
}
HEAD = """# Settings

`python tools/settings_page.py` writes this page from the code; a test compares page and code.

Pass settings in a YAML file (`--settings FILE`), or one by one (`--set probes.rank=32`). `--set` overrides options, and
options override the settings file. A study writes all of its settings to `settings.yaml`, which can be passed to
`--settings`. If the value of an analysis in the settings is `null`, the analysis is left out. An unknown name of a
setting is an error that suggests the nearest known name.
"""


def page() -> str:
    """Return the page: a section for every class, in the order in which the files of settings lead to them."""
    keys: dict[type, list[str]] = {}
    for kind in FILES.values():
        collect(kind, "", keys)
    for one in analyses().values():
        collect(one.settings(), one.name, keys)
    return "\n".join([HEAD, *(section(kind, places) for kind, places in keys.items() if fields(kind))])


def collect(kind: type, place: str, keys: dict[type, list[str]]) -> None:
    """Add a class, and those of its fields, to the keys under which each is found."""
    keys.setdefault(kind, []).append(place)
    hints = get_type_hints(kind)
    for one in fields(kind):
        inner = settings_class(hints[one.name])
        if inner is not None and len(keys[kind]) == 1:
            collect(inner, f"{place}.{one.name}".lstrip("."), keys)


def section(kind: type, places: list[str]) -> str:
    """Return the section of a class: the places of its settings in the files, and a table of them."""
    commands = [command for command, file in FILES.items() if file is kind]
    keys = [f"`{place}`" for place in dict.fromkeys(places) if place]
    fields_of = f"the fields of `{kind.__name__}`"
    where = [f"In the settings file of {command}, {fields_of} are at the top level." for command in commands]
    if keys:
        several = f"{', '.join(keys[:-1])} or {keys[-1]}" if keys[1:] else keys[0]
        where.append(f"In {'other' if commands else 'the'} settings files, {fields_of} are under the key {several}.")
    purpose = (inspect.getdoc(kind) or "").split("\n\n")[0]
    lines = [f"| `{name}` | {default} | {meaning} |" for name, default, meaning in rows(kind)]
    heading = [
        f"## {kind.__name__}",
        "",
        " ".join(purpose.split()),
        "",
        " ".join(where),
        "",
    ]
    return "\n".join([*heading, "| setting | default | meaning |", "|---|---|---|", *lines, ""])


def rows(kind: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of every setting of a class."""
    hints, meanings = get_type_hints(kind), attributes(inspect.getdoc(kind) or "")
    for one in fields(kind):
        inner = settings_class(hints[one.name])
        meaning = meanings.get(one.name, "").replace("|", "\\|")
        see = f"see [{inner.__name__}](#{inner.__name__.lower()})" if inner else ""
        yield one.name, default_of(one), "; ".join(filter(None, (meaning.removesuffix("."), see)))


def settings_class(hint: Any) -> type | None:
    """Return the class of settings that a field holds, alone or in a tuple."""
    found = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and is_dataclass(kind)]
    return found[0] if found else None


def default_of(one: Field[Any]) -> str:
    """Return the default as YAML would have it; a class of settings has those of its own fields."""
    if one.default is MISSING and one.default_factory is MISSING:
        return "required"
    value = one.default if one.default is not MISSING else one.default_factory()  # type: ignore[misc]
    if is_dataclass(value):
        return ""
    if isinstance(value, tuple | list):
        return "`[" + ", ".join(map(str, value)) + "]`"
    words = {None: "null", True: "true", False: "false"}
    return f"`{words[value] if value is None or isinstance(value, bool) else value if value != {} else '{}'}`"


def attributes(text: str) -> dict[str, str]:
    """Return the meaning of each attribute that a docstring explains."""
    block = text.partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", f"\n{block}"):
        names, _, meaning = " ".join(entry.split()).partition(": ")
        found |= dict.fromkeys(names.split(", "), meaning)
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
