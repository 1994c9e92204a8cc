"""Tables on disk and in LaTeX: nothing is lost, no text is a command, no folder of anybody else is replaced."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.errors import SettingsError
from retroscope.files.whole import whole_folder, write_whole
from retroscope.typesetting.latex import PaperTable, booktabs, escape
from retroscope.typesetting.tables import merge_named, write_frames
from synthetic_subject import EVIL

MEANING = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
           r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"'}  # fmt: skip


def printed(latex: str) -> str:
    """What LaTeX prints for escaped text."""
    return re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]", lambda m: MEANING.get(m[0], m[0][1:]), latex)


def balanced(latex: str) -> bool:
    bare = re.sub(r"\\[\\{}]", "", latex)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_escaped_text_prints_as_it_was(text: str) -> None:
    plain = "".join(c if c.isprintable() else " " for c in text)
    assert printed(escape(text)) == plain
    assert balanced(escape(text))


def test_no_command_survives_escaping() -> None:
    assert escape(EVIL).count("\\input") == 0
    assert escape("a\nb\x1b[0m") == "a b [0m"


def test_a_row_cannot_start_with_an_argument_of_the_row_above() -> None:
    latex = booktabs(PaperTable(pd.DataFrame({"a": ["[2cm]", "*", "x"]}), "c"), "t")
    assert "\n{}[2cm] \\\\\n{}* \\\\\nx \\\\\n" in latex


def test_tables_read_back_as_they_were(tmp_path: Path) -> None:
    frames = {
        name: pd.DataFrame({"layer": [0, 1], "value": [v, 0.1 + 0.2]}) for name, v in (("one", 1.0), ("two", -1e-9))
    }
    papers = {"one": PaperTable(frames["one"], "caption"), "none": PaperTable(pd.DataFrame(), "empty")}
    files = write_frames({**frames, "empty": pd.DataFrame()}, papers, tmp_path / "tables", {"large": frames["one"]})
    assert {path.name for path in files} == {
        *(f"{name}{end}" for name in frames for end in (".parquet", ".csv")), "large.parquet", "one.tex"
    }  # fmt: skip
    for name, frame in frames.items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet"), frame)
        csv = pd.read_csv(io.StringIO((tmp_path / "tables" / f"{name}.csv").read_text("utf-8")))
        pd.testing.assert_frame_equal(csv, frame)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.txt", b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    with whole_folder(folder) as new:
        (new / "old").touch()
    with pytest.raises(FileNotFoundError), whole_folder(folder) as new:
        (new / "half" / "of a folder that is not there").touch()
    assert sorted(p.name for p in folder.iterdir()) == [".retroscope", "old"]
    with whole_folder(folder) as new:
        (new / "new").touch()
    assert sorted(p.name for p in folder.iterdir()) == [".retroscope", "new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_the_users_own_is_refused_not_replaced(tmp_path: Path) -> None:
    own = tmp_path / "figures" / "my_paper_plot.pdf"
    own.parent.mkdir()
    own.touch()
    with pytest.raises(SettingsError, match="that Retroscope did not write"), whole_folder(own.parent):
        pass
    assert own.exists()


def test_two_tables_of_one_name_are_refused() -> None:
    """Random changes of transplants were called `controls`, and took the place of the probes' controls."""
    table = PaperTable(pd.DataFrame({"a": [1]}), "caption", "note", ())
    with pytest.raises(ValueError, match="have the name controls"):
        merge_named([{"controls": table}, {"seeds": table}, {"controls": table}])
