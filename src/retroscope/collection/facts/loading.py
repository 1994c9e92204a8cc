"""Load facts from `LAYOUT:PATH`, or from a path whose layout is recognised by its files."""

from pathlib import Path

from retroscope.collection.facts.records import Facts
from retroscope.collection.readers.facts.layouts import LAYOUTS
from retroscope.errors import CollectionError, did_you_mean, unknown_name
from retroscope.files.reading import PathLike, foreign, path_of, path_or_name


def load_facts(spec: PathLike) -> Facts:
    """Read facts from `LAYOUT:PATH` (a layout of `LAYOUTS`), or from a path that one layout recognises.

    Raises:
        SettingsError: if there is no such layout.
        CollectionError: if not exactly one layout fits the path, or a fact is invalid. It names the file and the line.
    """
    layout, path = facts_place(spec)
    with foreign(CollectionError, "these facts cannot be read", path, "check the files, or fetch them again"):
        return LAYOUTS[layout or _detected(path)].read(path)


def facts_place(spec: PathLike) -> tuple[str, Path]:
    """Split a spec `LAYOUT:PATH` into the layout ("" if it names none) and the path, which must exist.

    Raises:
        SettingsError: if there is no such layout.
        CollectionError: if there is nothing at the path.
    """
    source = path_or_name(spec)
    prefix, colon, rest = str(source).partition(":")
    named = bool(colon) and not Path(source).exists() and "/" not in prefix and len(prefix) > 1
    if named and prefix not in LAYOUTS:
        raise unknown_name("layout of facts", prefix, LAYOUTS)
    path = path_of(rest if named else source, CollectionError)
    if not path.exists():
        known = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise CollectionError("no such file or folder", where=str(path), fix=did_you_mean(path.name, known))
    return (prefix if named else ""), path


def _detected(path: Path) -> str:
    fitting = [name for name, layout in LAYOUTS.items() if layout.recognises(path)]
    if len(fitting) != 1:
        raise CollectionError(
            f"this path must fit exactly one layout of facts; it fits {' and '.join(fitting) or 'none'}",
            where=str(path),
            fix=f"put the name of the layout before the path, e.g. facts:{path}; the layouts: {', '.join(LAYOUTS)}",
        )
    return fitting[0]
