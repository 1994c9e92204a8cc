"""Read and write settings as JSON-like values and YAML. The error for an unknown name suggests the nearest name."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from retroscope.errors import SettingsError, did_you_mean, excerpt, listed
from retroscope.files.reading import foreign, path_of, read_whole

Kind = TypeVar("Kind")
LARGEST = 2**17  # bytes of a settings file
LONGEST_NAME = 500  # characters of the name of a setting
LONGEST_VALUE = 10_000  # characters of the value of an assignment
MOST_VALUES = 100_000  # of a settings file
NOT_DECIMAL = re.compile(r"[-+]?0[0-7_]*[0-7]$|.*:")  # numbers that YAML reads in base 8 or 60
# Building an adapter takes milliseconds, and a study reads and writes its settings hundreds of times.
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def plain(settings: object) -> dict[str, Any]:
    """Convert a settings object to JSON-like values."""
    values: dict[str, Any] = _adapter(type(settings)).dump_python(settings, mode="json")
    return values


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return JSON-like values as YAML."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """YAML writer that quotes texts with Unicode line breaks, which PyYAML would change."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.splitlines() in ([], [text]) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def read_as(kind: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """Return JSON-like values as settings of the class `kind`.

    Raises:
        SettingsError: for an unknown name or a wrong value.
    """
    _check_names(values, kind, where)
    try:
        read: Kind = _adapter(kind).validate_python(values)
    except SettingsError as error:  # a class knows its own name, not the setting that it is the value of
        error.where = f"{where} ({error.where})" if error.where else where
        raise
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {excerpt(e['input'])})" for e in error.errors()]
        raise SettingsError(
            f"these settings are invalid:{listed(wrong)}",
            where=where,
            fix="correct the value of each of these settings",
        ) from error
    return read


def unknown_setting(name: str, where: str, known: Iterable[str]) -> SettingsError:
    """Return the error for a setting that does not exist."""
    return SettingsError(f"unknown setting {excerpt(name)}", where=where, fix=did_you_mean(name, list(known)))


class _Loader(yaml.SafeLoader):
    """YAML reader that refuses what a user may have meant otherwise: repeated names, octal numbers, dates, sets."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        name = str(key.value)
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{excerpt(name)} occurs more than once", key.start_mark
            )
        seen.add(name)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    """Return a number. PyYAML would read 010 as 8 (octal), and 1:30 as 90 (sixty to one)."""
    value: object = getattr(loader, f"construct_yaml_{node.tag.rpartition(':')[2]}")(node)
    if NOT_DECIMAL.match(node.value):
        problem = f"{excerpt(node.value)} means {value} in YAML; write {value}, or put a text into quotes"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return value


def _refused(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    value = excerpt(node.value) if isinstance(node, yaml.ScalarNode) else "this value"
    tag = node.tag.rpartition(":")[2]
    problem = f"{value} is of the YAML type {tag}, which no setting takes; put texts into quotes"
    raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)
for _tag in ("timestamp", "set", "omap", "pairs", "binary"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _refused)


def from_yaml(path: Path) -> dict[str, Any]:
    """Read the values of a YAML settings file, without checking that they are valid settings."""
    if not path_of(path, SettingsError).exists():
        raise SettingsError("this settings file does not exist", where=str(path), fix="give the path of a YAML file")
    return yaml_values(read_whole(path, SettingsError, LARGEST), path)


def yaml_values(text: str, path: Path) -> dict[str, Any]:
    """Parse the YAML text of a settings file, without checking that its values are valid settings."""
    with foreign(SettingsError, "this is not YAML", path, "correct the file"):
        values = _loaded(text)
    if not isinstance(values, dict):
        raise SettingsError(
            f"a settings file must map names to values, but this file holds {excerpt(values)}",
            where=str(path),
            fix="write NAME: VALUE in every line, e.g. random_weights: false",
        )
    return values


def changed(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the settings changed by assignments such as "probes.rank=32", whose values are read as YAML."""
    result = dict(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name or len(name) > LONGEST_NAME:
            raise SettingsError(
                f"invalid assignment {excerpt(assignment)}", fix="write A.B=VALUE, e.g. --set probes.rank=32"
            )
        result = assigned(result, name.split("."), _read(assignment, text))
    return result


def _read(assignment: str, text: str) -> object:
    what, fix = f"the value of {excerpt(assignment)} is not YAML", "write lists as [a, b]"
    if len(text) > LONGEST_VALUE:
        raise SettingsError(
            f"the value of {excerpt(assignment)} has more than {LONGEST_VALUE:,} characters",
            fix="put this value into a settings file (--settings FILE)",
        )
    with foreign(SettingsError, what, "", fix):
        return _loaded(text)


def _loaded(text: str) -> object:
    """Parse a YAML text and return its value.

    Raises:
        yaml.YAMLError: if the text is not YAML (with the line), or if its aliases expand to more than `MOST_VALUES`
            values.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:  # of its message, a user is shown the first line, which has no place
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise type(error)(problem=f"{error.problem or error.context}{place}") from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a YAML node, including aliases, and refuse more than `MOST_VALUES`."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_VALUES  # an alias of itself holds more than any settings
    parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    total = 1 + sum(_count(part, known) for part in parts if isinstance(part, yaml.Node))
    if total > MOST_VALUES:
        raise yaml.YAMLError(f"more than {MOST_VALUES:,} values, counting each use of an alias")
    known[id(node)] = total
    return total


def assigned(values: Mapping[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """Return the settings with a new value at `path`, e.g. ("probes", "rank").

    If both values are mappings, they are merged.
    """
    head, *rest = path
    if not rest:
        return merged(values, {head: value})
    inner = values.get(head) or {}
    if not isinstance(inner, Mapping):
        raise SettingsError(
            f"{excerpt(head)} is a value, not a group of settings",
            where=".".join(path),
            fix=f"give a value to {head} itself, without a dot after the name",
        )
    return {**values, head: assigned(inner, rest, value)}


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to a map from dotted names to values, e.g. {"probes.rank": 32}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings; if both have a value for a name, the value in `above` wins."""
    both = dict(below)
    for name, value in above.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _check_names(values: Mapping[str, Any], kind: Any, where: str) -> None:
    """Refuse names that are no settings of the class `kind`, also within nested settings."""
    types = get_type_hints(kind)
    for name, value in values.items():
        if name not in types:
            raise unknown_setting(str(name), where, types)
        inner = next((t for t in (types[name], *get_args(types[name])) if is_dataclass(t)), None)
        several = {f".{i}": item for i, item in enumerate(value)} if isinstance(value, list | tuple) else {"": value}
        for place, item in several.items():
            if inner is not None and isinstance(item, Mapping):
                _check_names(item, inner, f"{where}.{name}{place}")
