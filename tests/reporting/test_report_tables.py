import io
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from retroscope.study.paper_tables import PAPER_TABLES, paper_retrieval
from retroscope.study.tables import TABLES, flips_table, joined, selectivity_table, write_tables

from retroscope.errors import SettingsError
from retroscope.files import whole_folder, write_whole
from retroscope.typesetting.latex import PaperTable, booktabs, escape
from synthetic_findings import EVIL, N_QUERIES, findings, model, query_ids

MEANING = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
           r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"'}  # fmt: skip


def printed(latex):
    """What LaTeX prints for escaped text."""
    return re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]", lambda m: MEANING.get(m[0], m[0][1:]), latex)


def balanced(latex):
    bare = re.sub(r"\\[\\{}]", "", latex)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_escaped_text_prints_as_it_was(text):
    plain = "".join(c if c.isprintable() else " " for c in text)
    assert printed(escape(text)) == plain
    assert balanced(escape(text))


def test_no_command_survives_escaping():
    assert escape(EVIL).count("\\input") == 0
    assert escape("a\nb\x1b[0m") == "a b [0m"


def test_a_row_cannot_start_with_an_argument_of_the_row_above():
    latex = booktabs(PaperTable(pd.DataFrame({"a": ["[2cm]", "*", "x"]}), "c"), "t")
    assert "\n{}[2cm] \\\\\n{}* \\\\\nx \\\\\n" in latex


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_every_paper_table_is_sound_latex_whatever_the_names(name):
    found = findings(before=model(EVIL), query_texts=dict.fromkeys(query_ids(), EVIL))
    latex = booktabs(PAPER_TABLES[name](found), name)
    assert balanced(latex)
    assert "\\input" not in latex
    cells = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
    assert len(cells) == 1
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2


def test_marks_are_explained_where_they_are_used():
    table = paper_retrieval(findings())
    assert table.frame["effect"].str.contains("*", regex=False).any()
    assert "holm-corrected p below 0.05, 0.01, 0.001" in table.note
    assert "No mark: no evidence of either." in table.note


def test_tables_read_back_as_they_were(tmp_path):
    found = findings()
    written = {path.name for path in write_tables(found, tmp_path / "tables")}
    papers = {f"{n}.tex" for n in PAPER_TABLES if n != "whitened"}
    assert written == {f"{n}{e}" for n in TABLES for e in (".parquet", ".csv")} | papers
    for name, make in TABLES.items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tables" / f"{name}.parquet"), make(found))
        csv = pd.read_csv(io.StringIO((tmp_path / "tables" / f"{name}.csv").read_text("utf-8")))
        assert csv.shape == make(found).shape


def test_findings_without_probes_write_no_probe_tables(tmp_path):
    written = {
        p.stem for p in write_tables(findings(probing=None, seed_spread=None, layer_retrieval=None), tmp_path / "t")
    }
    assert written == {"retrieval", "flips", "self_tests", "verdict"}


def test_selectivity_is_accuracy_beyond_shuffled_queries():
    cell = {"probe": "cosine", "passages": 5, "layer": 6}
    frame = selectivity_table(findings())
    row = frame[(frame["side"] == "after") & (frame[list(cell)] == pd.Series(cell)).all(axis=1)].iloc[0]
    table = findings().probing.table.sel(cell)
    expected = float(table["after"].sel(control="none") - table["after"].sel(control="shuffled_queries"))
    assert row["value"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]


def test_flips_hold_every_changed_query_once():
    row = findings().retrieval.table.sel(measure="RR")
    frame = flips_table(findings())
    assert frame["query_id"].is_unique
    assert len(frame) == int(row["wins"] + row["losses"]) == N_QUERIES - int(row["ties"])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = write_whole(tmp_path / "a.txt", b"old")
    with pytest.raises(TypeError):
        write_whole(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one(tmp_path):
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


def test_a_folder_of_the_users_own_is_refused_not_replaced(tmp_path):
    own = tmp_path / "figures" / "my_paper_plot.pdf"
    own.parent.mkdir()
    own.touch()
    with pytest.raises(SettingsError, match="was not written by a report"), whole_folder(own.parent):
        pass
    assert own.exists()


def test_two_tables_of_one_name_are_refused():
    """Random changes of transplants were called `controls`, and took the place of the probes' controls."""
    table = PaperTable(pd.DataFrame({"a": [1]}), "caption", "note", ())
    with pytest.raises(ValueError, match="two tables are called controls"):
        joined([{"controls": table}, {"seeds": table}, {"controls": table}])
