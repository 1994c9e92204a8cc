"""What used to be accepted and was wrong without a word is refused, with file and line."""

import gzip
import itertools
import json
from pathlib import Path

import ir_measures
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_folders import TOY, Irds, Qrel, Topic, lines_of, put, write_beir, write_trec

from retroscope.collection.collection import make_collection
from retroscope.collection.ids import holds_control
from retroscope.collection.loading import load_collection, splits_of
from retroscope.collection.readers import hugging_face, irds
from retroscope.collection.readers.numbers import relevance_of, score_of
from retroscope.collection.readers.rows import file_rows
from retroscope.collection.readers.trec_files import is_qrels_header, qrels_lines, read_run, read_topics
from retroscope.collection.records import LARGEST_GRADE, Judgment, Passage, Query
from retroscope.errors import CollectionError
from retroscope.retrieval.measures import measure_queries

GRADES = {"0": 0, "1": 1, "+1": 1, "-1": -1, "2.0": 2, "3.00": 3, "007": 7, "1000": 1000, "-1000": -1000, "-0": 0}
NO_GRADES = [
    "4294967296", "2147483647", "1001", "-1001", "9" * 5000, "1_000", "１", "²", "٣", "1e3", "1e0", "0x1", "0b1",
    "nan", "inf", "-inf", "Infinity", "0.5", "1.", ".0", "1,0", "1 ", " 1", "", "-", "+", "--1", "True", "true", "None",
    "high", "1\n",
]  # fmt: skip
VALUES = [1, 0, -1, 1000, 1.0, 0.0, "1", np.int64(2), np.float32(2)]
NO_VALUES = [True, False, None, 0.5, float("nan"), float("inf"), 1e16, 2**32, 1001, [1], {"a": 1}, b"1", "1_000"]


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    beir = write_beir(tmp_path / "beir", TOY)
    assert load_collection(beir).queries
    put(beir / name, "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(
        CollectionError, match=rf"{name}: this is a pointer of Git LFS(.|\n)*fix: run `git lfs pull` in"
    ):
        load_collection(beir)


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.csv", "pairs.parquet", "pairs.json"])
def test_a_file_of_rows_that_is_a_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    put(tmp_path / name, "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n")
    with pytest.raises(CollectionError, match=rf"{name}: this is a pointer of Git LFS"):
        load_collection(tmp_path / name)


@pytest.mark.parametrize("text", GRADES)
def test_these_are_grades(text: str) -> None:
    assert relevance_of(text, "here") == GRADES[text]


@pytest.mark.parametrize("value", [*NO_GRADES, *NO_VALUES], ids=lambda v: repr(v)[:20])
def test_these_are_none(value: object) -> None:
    with pytest.raises(CollectionError, match=r"here: relevance must be a whole number from -1000 to 1000, found .*"):
        relevance_of(value, "here")


def test_numbers_of_the_same_value_are_grades() -> None:
    assert [relevance_of(value, "") for value in VALUES] == [1, 0, -1, 1000, 1, 0, 1, 2, 2]


@pytest.mark.parametrize("text", [t for t in NO_GRADES if t.split() == [t]], ids=lambda t: t[:12])
def test_no_reader_takes_such_a_grade(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TREC, BEIR, the Hub's rows and ir_datasets: one function reads them all."""
    message = r"relevance must be a whole number from -1000 to 1000"
    trec, beir = write_trec(tmp_path / "trec", TOY), write_beir(tmp_path / "beir", TOY)
    put(trec / "qrels.txt", f"q1 0 ../d1 1\nq2 0 d2 {text}\n")
    put(beir / "qrels" / "test.tsv", f"query-id\tcorpus-id\tscore\nq1\t../d1\t{text}\n")
    for folder, name in ((trec, "qrels.txt"), (beir, "test.tsv")):
        with pytest.raises(CollectionError, match=rf"{name}, line 2: {message}"):
            load_collection(folder)
    parts = {
        "corpus": {"test": [{"_id": p.id, "text": p.text} for p in TOY[0]]},
        "queries": {"test": [{"_id": q.id, "text": q.text} for q in TOY[1]]},
        "qrels": {"test": [{"query-id": "q1", "corpus-id": "d2", "score": text}]},
    }
    monkeypatch.setattr(hugging_face, "_hub_splits", lambda name, revision, part: {
        s: lambda rows=r: hugging_face._numbered(rows, part) for s, r in parts[part].items()
    })  # fmt: skip
    monkeypatch.setattr(
        hugging_face, "_hub", lambda name: type("", (), {"get_dataset_config_names": lambda n, revision: [*parts]})
    )
    with pytest.raises(CollectionError, match=rf"qrels, row 1: {message}"):
        load_collection("hf:some/set")
    data = Irds([Topic("d1", "one")], [Topic("q1", "first")], [Qrel("q1", "d1", text, "0")])
    with pytest.raises(CollectionError, match=rf"toy, qrels 1: {message}"):
        irds.irds_collection(data, "toy")


@pytest.mark.parametrize("grade", [True, 1001, 2**32, -1001, 1.0, "1"], ids=repr)
def test_a_grade_given_from_python_is_checked_too(grade: int) -> None:
    with pytest.raises(CollectionError, match=r"relevance must be a whole number from -1000 to 1000:\n  - query 'q'"):
        make_collection("toy", [Passage("p", "x")], [Query("q", "x")], [Judgment("q", "p", grade)])


@pytest.mark.parametrize("grade", [1, 2, LARGEST_GRADE - 1, LARGEST_GRADE])
def test_measures_are_right_up_to_the_bound(grade: int) -> None:
    """nDCG by its formula, with every order of three passages, one of them graded at the bound."""
    qrels = {"a": grade, "b": 1, "c": -grade}
    discounts = 1 / np.log2(np.arange(2, 5))
    ideal = np.array([grade, 1, 0]) @ discounts
    for order in itertools.permutations(qrels):
        run = {"q": [(p, 3.0 - k) for k, p in enumerate(order)]}
        scores = measure_queries(run, {"q": qrels}, ["nDCG@10", "R@1", "RR@10"]).values[0]
        gains = np.array([max(qrels[p], 0) for p in order])
        first = next(k for k, p in enumerate(order, 1) if qrels[p] > 0)
        np.testing.assert_allclose(scores, [gains @ discounts / ideal, (first == 1) / 2, 1 / first], rtol=1e-12)
    assert np.isfinite(2.0**grade * len(qrels))  # exponential gains


def test_why_there_is_a_bound() -> None:
    """The control: what trec_eval makes of a grade that does not fit its 32 bits."""
    (computed,) = ir_measures.iter_calc([ir_measures.nDCG @ 10], {"q": {"a": 2**32}}, {"q": {"a": 1.0}})
    assert computed.value == 0


SCORES = {"1": 1.0, "-1.5": -1.5, "+.5": 0.5, "1.": 1.0, "1e-3": 0.001, "2E+2": 200.0}
NO_SCORES = ["nan", "inf", "-inf", "infinity", "1_000", "１", "0x1", "1e999", "", "1e", "high", "True"]


@pytest.mark.parametrize("text", SCORES)
def test_these_are_scores(text: str) -> None:
    assert score_of(text, "") == SCORES[text]


@pytest.mark.parametrize("text", NO_SCORES)
def test_these_are_no_scores(tmp_path: Path, text: str) -> None:
    put(tmp_path / "run", f"q\ta\t2\nq\tb\t{text}\n")
    with pytest.raises(CollectionError, match=r"run, line 2: the score must be a finite number, found"):
        read_run(tmp_path / "run")


QRELS = {
    "q\td\t\nq\te\t1\n": r"line 1: relevance must be .* found ''\n.*is a header, call its last column one of: .*score",
    "q\td\tx\nq\te\t1\n": r"line 1: relevance must be .* found 'x'",
    "q 0 d\nq 0 e 1\n": r"line 1: relevance must be .* found 'd'",
    "q 0 7\nq 0 8 1\n": r"line 2: this line has 4 columns, but the first line has 3",
    "q 0 8 1\nq 0 7\n": r"line 2: this line has 3 columns, but the first line has 4",
    "q\td\t1\nquery-id\tcorpus-id\tscore\n": r"line 2: relevance must be .* found 'score'",
    "\td\t1\n": r"line 1: this line has no query id",
    "q\t\t1\n": r"line 1: this line has no passage id",
    "q\t0\t\t1\n": r"line 1: this line has no passage id",
    "q\td\0\t1\n": r"line 1: the id 'd\\x00' contains a control character",
    "q\x7f\td\t1\n": r"line 1: the id 'q\\x7f' contains a control character",
    "q\td\re\t1\n": r"line 1: the id 'd\\re' contains a control character",
}


@pytest.mark.parametrize("text", QRELS)
def test_broken_qrels_are_refused_by_line(tmp_path: Path, text: str) -> None:
    put(tmp_path / "qrels", text)
    with pytest.raises(CollectionError, match=rf"qrels, {QRELS[text]}"):
        [*qrels_lines(tmp_path / "qrels")]


@pytest.mark.parametrize(
    "header",
    [
        "query-id\tcorpus-id\tscore",
        "query_id\tdoc_id\trelevance",
        "qid\titeration\tdocid\trel",
        "Q\tD\tRelevance-Score",
    ],
)
def test_a_header_is_known_by_its_last_column(header: str) -> None:
    assert is_qrels_header(header.split("\t"))
    assert not is_qrels_header([*header.split("\t")[:-1], ""])


def test_runs_of_two_widths_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "run", "q Q0 a 1 2 tag\nq b 1\n")
    with pytest.raises(CollectionError, match=r"run, line 2: this line has 3 columns, but the first line has 6"):
        read_run(tmp_path / "run")


NO_MARKS = ["0", "1", "", "true", -1, 2, 1.0, 0.0, 0.5, [0], [], {}]


@pytest.mark.parametrize("shape", ["columns", "records"])
@pytest.mark.parametrize("mark", NO_MARKS, ids=repr)
def test_a_mark_is_0_or_1(tmp_path: Path, mark: object, shape: str) -> None:
    marked(tmp_path / "set.jsonl", [1, mark], shape)
    with pytest.raises(CollectionError, match=r"set\.jsonl, line 1: is_selected must be 0, 1, true, false or null, fo"):
        load_collection(tmp_path / "set.jsonl")


@pytest.mark.parametrize("shape", ["columns", "records"])
@pytest.mark.parametrize("mark", [0, False, None], ids=repr)
def test_these_marks_are_read(tmp_path: Path, mark: object, shape: str) -> None:
    for selected in (1, True):
        marked(tmp_path / "set.jsonl", [mark, selected], shape)
        loaded = load_collection(tmp_path / "set.jsonl")
        assert [loaded.passages[j.passage_id].text for j in loaded.judgments] == ["text 1"]


def marked(path: Path, marks: list[object], shape: str) -> None:
    texts = [f"text {i}" for i in range(len(marks))]
    passages: object = {"passage_text": texts, "is_selected": marks}
    if shape == "records":
        passages = [{"passage_text": t, "is_selected": m} for t, m in zip(texts, marks, strict=True)]
    path.write_text(json.dumps({"query": "who", "passages": passages}) + "\n")


CONTROLS = ["\0", "\x01", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x85", "\x9f"]
NO_CONTROLS = ["é", "e\u0301", "-", "#", "😀", "\u200b", "\ufeff", "\u202e", "²"]


@pytest.mark.parametrize("character", CONTROLS, ids=repr)
def test_control_characters_in_ids_are_refused_everywhere(tmp_path: Path, character: str) -> None:
    bad = f"a{character}b"
    for passage, query in ((bad, "q"), ("p", bad)):
        with pytest.raises(CollectionError, match=r"ids contain control characters:\n  - 'a\\"):
            make_collection("toy", [Passage(passage, "x")], [Query(query, "x")], [Judgment(query, passage)])
    for name, record in (("corpus", {"_id": bad, "text": "x"}), ("queries", {"_id": bad, "text": "x"})):
        folder = write_beir(tmp_path / name, TOY)
        with (folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        lines = len((folder / f"{name}.jsonl").read_text().splitlines())
        with pytest.raises(
            CollectionError, match=rf"{name}\.jsonl, line {lines}: the id 'a.*contains a control character"
        ):
            load_collection(folder)


@pytest.mark.parametrize("character", NO_CONTROLS, ids=repr)
def test_other_characters_are_measured_right(character: str) -> None:
    """Ids that differ in this character only, in case or in normalisation stay apart."""
    ids = [f"a{character}b", f"A{character}b", f"a{character}", "a", "e\u0301", "é", "É"]
    ids = list(dict.fromkeys(ids))
    run = {q: [(p, 1.0 - k) for k, p in enumerate(ids)] for q in ids}
    for k, wanted in enumerate(ids):
        assert not holds_control(wanted)
        scores = measure_queries(run, {q: {wanted: 1} for q in ids}, ["RR", "R@100"])
        assert scores.sel(measure="RR").values.tolist() == [1 / (k + 1)] * len(ids)


TWICE = {
    "x.csv": "a,b,a\n1,2,3\n",
    "x.tsv": "a\tb\ta\n1\t2\t3\n",
    "x.jsonl": '{"a": 1}\n{"a": 1, "a": 2}\n',
    "x.json": '[{"a": 1}, {"b": {"a": 1, "a": 2}}]',
    "y.json": '{"a": 1}\n{"a": 1, "b": 2, "a": 1}\n',
}
PLACES = {"x.csv": "line 1: columns", "x.tsv": "line 1: columns", "x.json": "item 2: this JSON cannot be read: keys"}


@pytest.mark.parametrize("name", TWICE)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_a_name_that_occurs_twice_is_refused(tmp_path: Path, name: str, packed: bool) -> None:
    put(tmp_path / name, TWICE[name], packed)
    path = tmp_path / (f"{name}.gz" if packed else name)
    place = PLACES.get(name, "line 2: this JSON cannot be read: keys")
    with pytest.raises(CollectionError, match=rf"{path.name}, {place} that occur more than once: 'a'"):
        list(file_rows(path))


def test_a_parquet_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(CollectionError, match=r"x\.parquet: columns that occur more than once: 'a'"):
        list(file_rows(tmp_path / "x.parquet"))


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_beside_its_packed_copy_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_beir(tmp_path / "toy", TOY)
    file = folder / name
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(CollectionError, match=rf"both {file.name} and {file.name}\.gz are in this folder"):
        load_collection(folder)
    file.unlink()
    assert len(load_collection(folder).passages) == len(TOY[0])


def test_trec_files_of_one_role_and_split_are_refused(tmp_path: Path) -> None:
    for name in ("qrels.txt", "topics.txt", "collection.tsv"):
        folder = write_trec(tmp_path / name.split(".")[0], TOY)
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        with pytest.raises(CollectionError, match=name.replace(".", r"\.")):
            load_collection(folder)


def test_a_copy_of_the_qrels_under_another_ending_is_no_split(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "toy", TOY)
    put(folder / "qrels" / "test.tsv.bak", "q1\td2\t1\n")
    put(folder / "qrels" / "test.tsv~", "q1\td2\t1\n")
    assert list(load_collection(folder).judgments) == TOY[2]
    assert splits_of(folder) == ("test",)


SHARDS = {
    ("test-00000-of-00002",): "missing",
    ("test-00001-of-00002",): "missing",
    ("test", "test-00000-of-00001"): "twice",
    ("test-00000-of-00002", "test-00001-of-00003"): "of two sets",
}


@pytest.mark.parametrize("names", SHARDS, ids=SHARDS.values())
def test_parquet_parts_must_be_all_there(tmp_path: Path, names: tuple[str, ...]) -> None:
    passages, queries, judgments = TOY
    judged = [{"query-id": j.query_id, "corpus-id": j.passage_id, "score": 1} for j in judgments]
    tables = {
        "corpus/test": [{"_id": p.id, "text": p.text} for p in passages],
        "queries/test": [{"_id": q.id, "text": q.text} for q in queries],
        **{f"qrels/{name}": judged for name in names},
    }
    for name, records in tables.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records), tmp_path / f"{name}.parquet")
    with pytest.raises(CollectionError, match=r"split 'test' lacks some of its files, or .* different totals .*: test"):
        load_collection(tmp_path)


def test_plain_files_are_read_as_before(tmp_path: Path) -> None:
    put(tmp_path / "x.jsonl", lines_of([{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}]))
    assert [r.values for r in file_rows(tmp_path / "x.jsonl")] == [{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}]


@pytest.mark.parametrize("header", ["corpus-id\tquery-id\tscore", "doc_id\t0\tquery_id\trel", "PID\tQID\tLabel"])
def test_a_header_that_names_the_passage_first_is_refused(tmp_path: Path, header: str) -> None:
    row = "\t".join(["1"] * len(header.split("\t")))
    put(tmp_path / "qrels", f"{header}\n{row}\n")
    with pytest.raises(
        CollectionError, match=r"qrels, line 1: the header names '.*' before '.*', but query ids must come"
    ):
        [*qrels_lines(tmp_path / "qrels")]


@pytest.mark.parametrize("role", ["corpus.tsv", "corpus.txt", "topics.tsv", "topics.txt"])
@pytest.mark.parametrize("header", ["id\tpassage", "qid\tquestion", "_id\tbody", "docno\tcontents", "number\ttopic"])
def test_a_header_that_would_be_read_as_a_record_is_refused(tmp_path: Path, role: str, header: str) -> None:
    files = {"corpus.tsv": "1\tt1\n", "topics.tsv": "1\tq1\n", "qrels.txt": "1 0 1 1\n"}
    stem = role.partition(".")[0]
    files = {name: text for name, text in files.items() if not name.startswith(stem)} | {role: f"\n{header}\n1\tx\n"}
    for name, text in files.items():
        put(tmp_path / name, text)
    with pytest.raises(CollectionError, match=rf"{role}, line 2: this line names columns \('\w+', '\w+'\)"):
        load_collection(tmp_path)


@pytest.mark.parametrize("block", ["<num>1<title>a<title>b", "<num>1<num>2<title>a"])
def test_a_topic_with_two_numbers_or_two_titles_is_refused(tmp_path: Path, block: str) -> None:
    put(tmp_path / "topics", f"<top>\n<num>7<title>x</top>\n<top>{block}</top>\n")
    with pytest.raises(CollectionError, match=r"topics, line 3: this topic has more than one <(num|title)>"):
        [*read_topics(tmp_path / "topics")]


def test_a_title_with_a_tag_inside_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "topics", "<top>\n<num>7</num><title>which <i>gene</i> causes it</title></top>\n")
    with pytest.raises(CollectionError, match=r"topics, line 1: the <title> of this topic contains a tag: 'i'"):
        [*read_topics(tmp_path / "topics")]


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2003"])
def test_only_ascii_spaces_separate_columns(tmp_path: Path, space: str) -> None:
    put(tmp_path / "qrels", f"q0 d{space}3 1\n")
    assert [j.passage_id for j, _ in qrels_lines(tmp_path / "qrels")] == [f"d{space}3"]


def test_passage_ids_that_differ_only_by_spaces_around_them_are_refused(tmp_path: Path) -> None:
    beir = write_beir(tmp_path / "beir", TOY)
    put(beir / "corpus.jsonl", lines_of([{"_id": "a", "text": "x"}, {"_id": "a ", "text": "y"}]))
    put(beir / "queries.jsonl", lines_of([{"_id": "a", "text": "x"}]))
    put(beir / "qrels" / "test.tsv", "a\ta \t1\n")
    with pytest.raises(CollectionError, match="passage ids differ only by spaces around them"):
        load_collection(beir)


def test_answers_that_the_first_query_lacks_are_read(tmp_path: Path) -> None:
    beir = write_beir(tmp_path / "beir", TOY)
    put(beir / "queries.jsonl", lines_of([{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b", "answers": ["x"]}]))
    assert [q.answers for q in load_collection(beir).queries.values()] == [(), ("x",)]
