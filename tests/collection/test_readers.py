"""A reader is a module and a line of a table: everything that lists readers follows from it."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.readers.fields import required_text, text_list
from retroscope.collection.readers.registry import READERS
from retroscope.collection.readers.row_formats.examples import RowFormat, TrainingExample, row_reader
from retroscope.collection.readers.row_formats.registry import ROW_FORMATS
from retroscope.collection.readers.rows import Row
from retroscope.collection.records import Passage, Query
from retroscope.errors import CollectionError, SettingsError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "data.md"


def example(row: Row, columns: Mapping[str, str]) -> TrainingExample:
    evidence = tuple(Passage("", text) for text in text_list(row, columns["evidence"]))
    return TrainingExample(Query("", required_text(row, columns["claim"])), evidence)


CLAIMS = RowFormat(name="claims", required={"claim": ["claim"], "evidence": ["evidence"]}, example=example)


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of a format that is new, and its line in the table."""
    monkeypatch.setitem(READERS, "claims", row_reader(CLAIMS))
    monkeypatch.setitem(ROW_FORMATS, "claims", CLAIMS)
    path = tmp_path / "x.jsonl"
    path.write_text('{"claim": "the moon is cheese", "evidence": ["it is said"]}\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("prefix", ["", "claims:"])
def test_a_new_reader_reads(claims: Path, prefix: str) -> None:
    assert load_collection(f"{prefix}{claims}").passages["p0"].text == "it is said"


def test_without_its_line_it_does_not(claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(READERS, "claims")
    with pytest.raises(CollectionError, match="no format fits"):
        load_collection(claims)


def test_a_new_format_of_rows_is_read_from_a_hugging_face_folder(claims: Path, tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"claim": "the moon is cheese", "evidence": ["it is said"]}])
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    assert load_collection(f"hf:{tmp_path / 'data'}").passages["p0"].text == "it is said"


def test_errors_know_a_new_reader(claims: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'claims'"):
        load_collection(f"claimz:{claims.name}")
    (tmp_path / "other.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(CollectionError, match=r"tried: .*, claims"):
        load_collection(tmp_path / "other.jsonl")


def test_the_page_of_layouts_has_a_row_for_every_reader() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [`")]
    listed = {row[0].partition("`")[2].partition("`")[0]: row[1:] for row in rows}
    listed.pop("named")  # a name for one of the others
    assert listed == {prefix: [reader.layout, reader.judgments] for prefix, reader in READERS.items()}


def test_no_module_outside_the_readers_knows_one_by_its_prefix() -> None:
    inside = ROOT / "src" / "retroscope" / "collection" / "readers"
    others = [path for path in (ROOT / "src").rglob("*.py") if inside not in path.parents]
    assert [path for path in others if 'READERS["' in path.read_text(encoding="utf-8")] == []
