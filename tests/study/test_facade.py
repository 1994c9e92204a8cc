"""`import retroscope as rs`: every name is there, and nothing heavy before it is used."""

import subprocess
import sys

import pytest

import retroscope


@pytest.mark.parametrize("name", retroscope.__all__)
def test_every_name_resolves(name: str) -> None:
    found = getattr(retroscope, name)
    assert found.__name__ == name
    assert found.__module__.startswith("retroscope.")


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
