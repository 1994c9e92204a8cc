import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retroscope.collection.readers import rows as module
from retroscope.collection.readers.rows import FORMS, file_rows, first_row, lines
from retroscope.errors import CollectionError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
RECORDS = st.lists(st.fixed_dictionaries({"query": TEXT, "doc": TEXT}), min_size=1, max_size=12)


def write(path, records, bom=b""):
    if path.name.startswith("parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
        return
    text = {
        "jsonl": lambda: "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records),
        "json": lambda: json.dumps(records, ensure_ascii=False, indent=1),
        "csv": lambda: delimited(records, ","),
        "tsv": lambda: delimited(records, "\t"),
    }[path.name.split(".")[1]]()
    content = bom + text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def delimited(records, delimiter):
    names = list(records[0])
    cells = [names, *([r[name] for name in names] for r in records)]
    return "".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in cells)


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "jsonl.gz", "json.gz", "csv.gz", "parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(records=RECORDS)
def test_every_form_gives_back_its_records(tmp_path, ending, records):
    path = tmp_path / ("parquet.parquet" if ending == "parquet" else f"x.{ending}")
    write(path, records)
    if ending == "tsv" and any("\n" in text for record in records for text in record.values()):
        with pytest.raises(CollectionError, match="begins with a quotation mark that is not closed on this line"):
            list(file_rows(path))
    else:
        assert [r.values for r in file_rows(path)] == records


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(records=RECORDS)
def test_a_json_list_is_the_same_however_it_is_cut(tmp_path, chunk, records):
    path = tmp_path / "x.json"
    write(path, records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        assert [r.values for r in file_rows(path)] == records


def test_a_json_file_may_hold_lines_or_nothing(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [(r.values, r.where) for r in file_rows(path)] == [
        ({"a": 1}, f"{path}, line 1"),
        ({"a": 2}, f"{path}, line 3"),
    ]
    path.write_text(" [ ] ")
    assert list(file_rows(path)) == []
    path.write_text("")
    assert list(file_rows(path)) == []


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_is_not_data(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    write(path, [{"a": "é"}], bom=b"\xef\xbb\xbf")
    assert [r.values for r in file_rows(path)] == [{"a": "é"}]


DAMAGE = {
    "x.jsonl": (b'{"a": 1}\n{"a": \n', r"x\.jsonl, line 2: this JSON cannot be read: Expecting value \(column \d+\)"),
    "y.jsonl": (b'{"a": 1}\n[1]\n', r"y\.jsonl, line 2: expected a JSON object, found list"),
    "z.jsonl": (b'{"a": "ok"}\n{"a": "caf\xe9"}\n', r"z\.jsonl, line 2: not UTF-8: .* \(byte 22 of the file\)"),
    "x.json": (b'[{"a": 1}, {"a": }]', r"x\.json, item 2: this JSON cannot be read"),
    "y.json": (b'[{"a": 1} {"a": 2}]', r"y\.json, item 1: this JSON cannot be read: expected ',' or '\]'"),
    "z.json": (b'[{"a": 1},', r"z\.json, item 2: this JSON cannot be read"),
    "u.json": (b'[{"a": "caf\xe9"}]', r"u\.json: not UTF-8"),
    "v.json": (b"[1, 2]", r"v\.json, item 1: expected a JSON object, found int"),
    "w.json": (b'[{"a": 1}', r"w\.json, item 1: this JSON cannot be read: expected ',' or '\]'"),
    "s.json": (
        b'[{"a": 1}]\n[{"a": 2}]',
        r"s\.json, item 2: this JSON cannot be read: the list ends before this item, but the file goes on",
    ),
    "t.json": (b"[] and more", r"t\.json, item 1: .* the list ends before this item, but the file goes on: 'and more'"),
    "x.csv": (b"a,b\n1,2\n1,2,3\n", r"x\.csv, line 3: this line has 3 cells, but the header has 2"),
    "y.csv": (b'a,b\n1,"2\n', r"y\.csv, line 2: broken CSV"),
    "x.tsv": (
        b'a\tb\n1\t"2\n3\t4\n5\t6"\n',
        r"x\.tsv, line 2: a cell of this line begins with a quotation mark(.|\n)*remove",
    ),
    "y.tsv": (b'a\tb\n1\t2\n"3\t4\n5\t"6\n', r"y\.tsv, line 3: a cell of this line begins with a quotation mark"),
    "z.tsv": (b'a\tb\n1\t2\n3\t"4\n5\t6\n', r"z\.tsv, line 3: a cell of this line begins with a quotation mark"),
    "u.tsv": (b'a\t"b\n1\t"2\n', r"u\.tsv, line 1: a cell of this line begins with a quotation mark"),
    "v.tsv": (b'a\tb\n1\t"2\n', r"v\.tsv, line 2: broken CSV: unexpected end of data"),
    "z.csv": (b"a\ncaf\xe9\n", r"z\.csv, line 2: not UTF-8"),
    "x.parquet": (b"PAR1 nothing", r"x\.parquet: damaged parquet"),
    "x.jsonl.gz": (gzip.compress(b'{"a": 1}\n' * 99)[:-12], r"x\.jsonl\.gz: damaged gzip"),
    "x.docx": (
        b"PK",
        r"x\.docx: files of the type of 'x\.docx' cannot be read\n  fix: give a file that ends in one of \.jsonl",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_with_file_and_line(tmp_path, name):
    content, message = DAMAGE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CollectionError, match=message):
        list(file_rows(tmp_path / name))


def test_the_advised_quotation_of_a_tsv_cell_is_read(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text('a\tb\n\n1\t"""Tea is"\n2\tTea "is"\n3\t"one\ttwo"\n4\tTea is\n')
    assert [r.values["b"] for r in file_rows(path)] == ['"Tea is', 'Tea "is"', "one\ttwo", "Tea is"]
    assert next(r.where for r in file_rows(path)) == f"{path}, line 3"


def test_a_csv_cell_may_contain_line_breaks(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,"Tea\nis"\n2,x\n')
    assert [(r.values["b"], r.number) for r in file_rows(path)] == [("Tea\nis", 3), ("x", 4)]


def test_a_missing_file_suggests_its_neighbours(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(CollectionError, match=r"no such file\n  fix: did you mean 'train\.jsonl'"):
        list(file_rows(tmp_path / "trian.jsonl"))
    with pytest.raises(CollectionError, match="no such file"):
        list(file_rows(tmp_path / "nowhere" / "x.jsonl"))


def test_first_row_of_what_holds_no_rows_is_none(tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert first_row(tmp_path) is None
    assert first_row(tmp_path / "empty.jsonl") is None
    assert first_row(tmp_path / "picture.png") is None


def test_gzip_is_told_by_its_bytes_not_by_its_name(tmp_path):
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(b'{"a": 1}\n'))
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"a": 1}\n')
    assert [r.values for r in file_rows(tmp_path / "packed.jsonl")] == [{"a": 1}]
    assert [r.values for r in file_rows(tmp_path / "plain.jsonl.gz")] == [{"a": 1}]


def test_long_cells_are_read(tmp_path):
    (tmp_path / "x.csv").write_text("a\n" + "x" * 200_000 + "\n")
    assert len(next(file_rows(tmp_path / "x.csv")).values["a"]) == 200_000


def test_lines_count_from_one_and_know_their_bytes(tmp_path):
    (tmp_path / "x.txt").write_bytes("é\nb".encode())
    assert list(lines(tmp_path / "x.txt")) == [(1, "é\n"), (2, "b")]


def test_the_forms_are_these():
    assert list(FORMS) == [".jsonl", ".json", ".csv", ".tsv", ".parquet"]
