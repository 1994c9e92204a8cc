"""`import retroscope as rs`: every name is there, and nothing heavy before it is used."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import pytest

import retroscope
from retroscope.analyses import analyses
from retroscope.inputs.settings import StudySettings
from retroscope.study.training.grid_settings import GridSettings


@pytest.mark.parametrize("name", retroscope.__all__)
def test_every_name_resolves(name: str) -> None:
    value = getattr(retroscope, name)
    assert value.__name__ == name
    assert value.__module__.startswith("retroscope.")


def test_dir_lists_the_names() -> None:
    assert dir(retroscope) == sorted(retroscope.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'retroscope' has no attribute 'compair'"):
        _ = retroscope.compair


def test_the_names_for_type_checkers_are_the_same() -> None:
    from pathlib import Path

    text = Path(retroscope.__file__).read_text(encoding="utf-8")
    declared = {line.split()[-1] for line in text.splitlines() if line.startswith("    from retroscope")}
    assert declared == set(retroscope.__all__)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, retroscope; print(*{'torch', 'transformers', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def settings_in(kind: type) -> Iterator[type]:
    """A class of settings, and every class of settings in its fields, however deep."""
    yield kind
    for annotation in get_type_hints(kind).values():
        yield from (
            inner
            for part in parts(annotation)
            if isinstance(part, type) and is_dataclass(part)
            for inner in settings_in(part)
        )


def parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def test_every_class_of_settings_has_a_name_here() -> None:
    kinds = [StudySettings, GridSettings, *(one.settings() for one in analyses().values())]
    classes = {one for kind in kinds for one in settings_in(kind)}
    assert {one.__name__ for one in classes} - {*retroscope.__all__} == set()
    assert all(getattr(retroscope, one.__name__) is one for one in classes)
