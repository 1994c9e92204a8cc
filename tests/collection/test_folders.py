import gzip
import json
from collections import namedtuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retroscope.collection.loading import load_collection
from retroscope.collection.readers import hugging_face, irds
from retroscope.collection.readers.registry import READERS
from retroscope.collection.readers.trec_files import qrels_lines, read_run, read_topics
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import CollectionError, MissingExtraError, SettingsError

TEXT = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
PASSAGES = st.lists(st.builds(Passage, IDS, TEXT, TEXT), min_size=1, max_size=6, unique_by=lambda p: p.id)
QUERIES = st.lists(st.builds(Query, IDS, TEXT), min_size=1, max_size=4, unique_by=lambda q: q.id)


@st.composite
def collections(draw):
    passages, queries = draw(PASSAGES), draw(QUERIES)
    judgments = {(queries[0].id, passages[0].id): 1}
    for query in queries:
        for passage in draw(st.sets(st.sampled_from(passages))):
            judgments.setdefault((query.id, passage.id), draw(st.integers(-1, 3)))
    return passages, queries, [Judgment(q, p, r) for (q, p), r in judgments.items()]


TOY = (
    [Passage("../d1", "one", "Title"), Passage("d2", "two")],
    [Query("q1", "first"), Query("q2", "second"), Query("q3", "unjudged")],
    [Judgment("q1", "../d1"), Judgment("q2", "d2", 2), Judgment("q2", "../d1", 0)],
)


def lines_of(records):
    return "".join(json.dumps(r) + "\n" for r in records)


def write_beir(folder, parts, split="test", header=True, packed=False):
    passages, queries, judgments = parts
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = lines_of({"_id": p.id, "title": p.title, "text": p.text} for p in passages)
    put(folder / "corpus.jsonl", corpus, packed)
    put(folder / "queries.jsonl", lines_of({"_id": q.id, "text": q.text, "answers": []} for q in queries), packed)
    qrels = "".join(f"{j.query_id}\t{j.passage_id}\t{j.relevance}\n" for j in judgments)
    put(folder / "qrels" / f"{split}.tsv", "query-id\tcorpus-id\tscore\n" * header + qrels, packed)
    return folder


def write_trec(folder, parts):
    passages, queries, judgments = parts
    folder.mkdir(exist_ok=True)
    put(folder / "collection.tsv", "".join(f"{p.id}\t{p.text}\n" for p in passages))
    put(folder / "topics.txt", "".join(f"{q.id}\t{q.text}\n" for q in queries))
    put(folder / "qrels.txt", "".join(f"{j.query_id} 0 {j.passage_id} {j.relevance}\n" for j in judgments))
    return folder


def write_parquet_beir(folder, parts):
    passages, queries, judgments = parts
    parts_of_it = min(len(passages), 2)
    for old in folder.rglob("*.parquet"):
        old.unlink()
    tables = {
        **{
            f"corpus/corpus-{k:05}-of-{parts_of_it:05}": [{"_id": p.id, "title": p.title, "text": p.text} for p in some]
            for k, some in enumerate((passages[:1], passages[1:])[:parts_of_it])
        },
        "queries/queries": [{"_id": q.id, "text": q.text} for q in queries],
        "qrels/test-00000-of-00001": [
            {"query-id": j.query_id, "corpus-id": j.passage_id, "score": float(j.relevance)} for j in judgments
        ],
    }
    for name, records in tables.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        if records:
            pq.write_table(pa.Table.from_pylist(records), path)
    return folder


def put(path, text, packed=False):
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def assert_same(c, parts, titles=True):
    passages, queries, judgments = parts
    judged = {j.query_id for j in judgments}
    assert list(c.passages.values()) == [p if titles else Passage(p.id, p.text) for p in passages]
    assert list(c.queries.values()) == [q for q in queries if q.id in judged]
    assert list(c.judgments) == judgments


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("header", [True, False], ids=["header", "bare"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(parts=collections())
def test_beir_is_read_back(tmp_path, packed, header, parts):
    assert_same(load_collection(write_beir(tmp_path / "toy", parts, header=header, packed=packed)), parts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(parts=collections())
def test_trec_is_read_back(tmp_path, parts):
    assert_same(load_collection(write_trec(tmp_path / "toy", parts)), parts, titles=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(parts=collections())
def test_parquet_in_beir_layout_is_read_back(tmp_path, parts):
    assert_same(load_collection(write_parquet_beir(tmp_path / "toy", parts)), parts)


@pytest.mark.parametrize("write", [write_beir, write_trec, write_parquet_beir])
def test_each_folder_is_recognised_by_exactly_one_reader(tmp_path, write):
    names = {write_beir: "beir", write_trec: "trec", write_parquet_beir: "hf"}
    folder = write(tmp_path / "toy", TOY)
    assert [name for name, reader in READERS.items() if reader.recognises(folder)] == [names[write]]


def test_queries_that_the_split_does_not_judge_are_left_out_and_counted(tmp_path):
    c = load_collection(write_beir(tmp_path / "toy", TOY))
    assert list(c.queries) == ["q1", "q2"]
    assert c.notes == ("left out 1 query without a judgment in these qrels, e.g. of other splits",)
    assert c.name == "toy"
    assert c.mapping["split"] == "test"
    assert c.mapping["passage_id"] == "_id"


def test_the_split_is_test_or_the_only_one_or_an_error(tmp_path):
    folder = write_beir(tmp_path / "toy", TOY, split="dev")
    assert load_collection(folder).mapping["split"] == "dev"
    write_beir(folder, TOY, split="train")
    with pytest.raises(CollectionError, match=r"several splits, none of them named test: dev, train\n  fix: .*split="):
        load_collection(folder)
    write_beir(folder, TOY, split="test")
    assert load_collection(folder).mapping["split"] == "test"
    assert load_collection(folder, split="train").mapping["split"] == "train"
    with pytest.raises(SettingsError, match=r"unknown split 'tset'\n  fix: did you mean 'test'"):
        load_collection(folder, split="tset")


def test_a_beir_folder_without_its_parts_says_which(tmp_path):
    folder = write_beir(tmp_path / "toy", TOY)
    (folder / "queries.jsonl").unlink()
    with pytest.raises(CollectionError, match=r"not a complete BEIR folder: it has no queries\.jsonl"):
        load_collection(f"beir:{folder}")
    (folder / "qrels" / "test.tsv").unlink()
    put(folder / "queries.jsonl", "")
    with pytest.raises(CollectionError, match=r"this source has no judgments \(qrels\)"):
        load_collection(folder)


@pytest.mark.parametrize(("name", "default"), [("arguana", True), ("Quora", True), ("nq", False)])
def test_identical_ids_are_ignored_where_queries_are_passages(tmp_path, name, default):
    folder = write_beir(tmp_path / name, TOY)
    assert load_collection(folder).ignore_identical_ids is default
    assert load_collection(folder, ignore_identical_ids=not default).ignore_identical_ids is not default


def test_beir_columns_can_be_named(tmp_path):
    folder = write_beir(tmp_path / "toy", TOY)
    put(folder / "corpus.jsonl", lines_of({"key": p.id, "body": p.text} for p in TOY[0]))
    with pytest.raises(CollectionError, match=r"corpus\.jsonl, line 1: no column '_id' or 'id'"):
        load_collection(folder)
    c = load_collection(folder, columns={"passage_id": "key", "passage_text": "body"})
    assert [p.text for p in c.passages.values()] == ["one", "two"]
    with pytest.raises(
        SettingsError, match=r"unknown field in columns 'passage_txt'\n  fix: did you mean 'passage_text'"
    ):
        load_collection(folder, columns={"passage_txt": "body"})


def test_a_record_without_id_is_an_error(tmp_path):
    folder = write_beir(tmp_path / "toy", TOY)
    put(folder / "queries.jsonl", '{"_id": "q1", "text": "a"}\n{"_id": null, "text": "a"}\n')
    with pytest.raises(CollectionError, match=r"queries\.jsonl, line 2: this record has no id in '_id'"):
        load_collection(folder)


QRELS = {
    "a 0 b 1\na 0 c -1\n": [Judgment("a", "b"), Judgment("a", "c", -1)],
    "a\tb c\t1.0\n\n": [Judgment("a", "b c")],
    "query-id\tcorpus-id\tscore\na\tb\t2\n": [Judgment("a", "b", 2)],
    "a b 0": [Judgment("a", "b", 0)],
}


@pytest.mark.parametrize("text", QRELS)
def test_qrels_of_both_kinds(tmp_path, text):
    put(tmp_path / "qrels", text, packed=True)
    assert [judgment for judgment, _ in qrels_lines(tmp_path / "qrels.gz")] == QRELS[text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 0 b 1\na b\n", r"qrels, line 2: this line has 2 columns, but qrels have 3 or 4"),
        ("a 0 b 1\na 0 c high\n", r"qrels, line 2: relevance must be a whole number from -1000 to 1000, found 'high'"),
        ("a 0 b 0.5\n", r"qrels, line 1: relevance must be a whole number from -1000 to 1000, found '0\.5'"),
    ],
)
def test_broken_qrels_are_named_with_their_line(tmp_path, text, message):
    put(tmp_path / "qrels", text)
    with pytest.raises(CollectionError, match=message):
        [*qrels_lines(tmp_path / "qrels")]


def test_runs_of_three_kinds(tmp_path):
    path = tmp_path / "run"
    put(path, "q Q0 b 1 2.5 tag\nq Q0 a 2 2.5 tag\nq Q0 c 3 9 tag\n")
    assert read_run(path) == {"q": [("c", 9.0), ("b", 2.5), ("a", 2.5)]}
    put(path, "q\tb\t0.5\nq\ta\t0.75\nr\ta\t1\n")
    assert read_run(path) == {"q": [("a", 0.75), ("b", 0.5)], "r": [("a", 1.0)]}
    put(path, "q\tb\t1\nq\ta\t2\nq\tc\t4\nr\tx\t0\nr\ty\t1\n")  # a rank is missing, another counts from 0
    assert read_run(path) == {"q": [("b", -1.0), ("a", -2.0), ("c", -4.0)], "r": [("x", 0.0), ("y", -1.0)]}
    put(path, "q\tb\t1\nr\tx\t1\nq\ta\t2\n")
    assert read_run(path) == {"q": [("b", -1.0), ("a", -2.0)], "r": [("x", -1.0)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 a 1\n", r"run, line 1: this line has 4 columns, but a run has 6 or 3"),
        ("q Q0 a 1 high tag\n", r"run, line 1: the score must be a finite number, found 'high'"),
        ("q Q0 a 1 nan tag\n", r"run, line 1: the score must be a finite number, found 'nan'"),
        (
            "q Q0 a 1 2 tag\nq Q0 a 2 1 tag\n",
            r"run, line 2: passage 'a' is ranked twice for query 'q'\n  fix: keep one line for each",
        ),
    ],
)
def test_broken_runs_are_named_with_their_line(tmp_path, text, message):
    put(tmp_path / "run", text)
    with pytest.raises(CollectionError, match=message):
        read_run(tmp_path / "run")


TOPICS = """<top>
<num> Number: 301
<title> International
Organized Crime
<desc> Description:
Who?
</top>
<top><num>302</num><title>Topic: Polio</title><desc>What?</desc></top>
"""


def test_topics_of_trec(tmp_path):
    put(tmp_path / "topics", TOPICS)
    rows = [*read_topics(tmp_path / "topics")]
    assert [row.values for row in rows] == [
        {"qid": "301", "text": "International Organized Crime"},
        {"qid": "302", "text": "Polio"},
    ]
    assert [row.place.spot for row in rows] == ["line 1", "line 8"]
    assert [row.values["desc"] for row in read_topics(tmp_path / "topics", "desc")] == ["Who?", "What?"]
    with pytest.raises(CollectionError, match=r"topics, line 1: this topic has no <narr>: '<num> Number: 301"):
        [*read_topics(tmp_path / "topics", "narr")]


def test_trec_with_topic_blocks_and_rows(tmp_path):
    put(tmp_path / "topics.xml", TOPICS)
    put(tmp_path / "corpus.jsonl", lines_of([{"docid": "d1", "contents": "one"}]), packed=True)
    put(tmp_path / "qrels.robust.txt", "301 0 d1 1\n")
    c = load_collection(tmp_path)
    assert c.queries == {"301": Query("301", "International Organized Crime")}
    assert c.passages["d1"].text == "one"
    assert c.mapping["split"] == "robust"
    assert load_collection(tmp_path, columns={"query_text": "desc"}).queries["301"].text == "Who?"


def test_trec_splits_go_by_name_as_in_ms_marco(tmp_path):
    put(tmp_path / "collection.tsv", "d1\tone\nd2\ttwo\n")
    for split, passage in (("dev.small", "d1"), ("train", "d2")):
        put(tmp_path / f"queries.{split}.tsv", f"{split}\ttext\n")
        put(tmp_path / f"qrels.{split}.tsv", f"{split}\t0\t{passage}\t1\n")
    assert load_collection(tmp_path, split="dev.small").qrels == {"dev.small": {"d1": 1}}
    assert load_collection(tmp_path, split="train").qrels == {"train": {"d2": 1}}
    with pytest.raises(CollectionError, match=r"several splits, none of them named test: dev\.small, train"):
        load_collection(tmp_path)
    (tmp_path / "queries.train.tsv").rename(tmp_path / "queries.other.tsv")
    with pytest.raises(
        CollectionError, match=r"0 of the topics files .*queries\.other\.tsv are named after the split 'train'"
    ):
        load_collection(tmp_path, split="train")


def test_trec_tsv_with_a_header_is_read_by_name(tmp_path):
    put(tmp_path / "passages.tsv", 'id\ttext\ttitle\n1\t"one ""1"""\tTitle\n')
    put(tmp_path / "queries.tsv", "q1\tfirst\n")
    put(tmp_path / "qrels.txt", "q1 0 1 1\n")
    assert load_collection(tmp_path).passages["1"] == Passage("1", 'one "1"', "Title")


def test_trec_errors_name_the_file(tmp_path):
    put(tmp_path / "corpus.tsv", "d1\tone\nd2 two\n")
    with pytest.raises(CollectionError, match="no file of this folder is recognised by its name as qrels or topics"):
        load_collection(f"trec:{tmp_path}")
    put(tmp_path / "queries.tsv", "q1\tfirst\n")
    put(tmp_path / "qrels.txt", "q1 0 d1 1\n")
    with pytest.raises(
        CollectionError, match=r"corpus\.tsv, line 2: this line has 0 tabs, expected 1\n.*docid<TAB>text"
    ):
        load_collection(tmp_path)


def saved(records, folder):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(records).save_to_disk(str(folder))
    return folder


def test_saved_rows_are_read(tmp_path):
    records = [{"query": "who", "passages": {"passage_text": ["him", "her"], "is_selected": [1, 0]}}]
    c = load_collection(saved(records, tmp_path / "set"))
    assert [c.passages[x.positive].text for x in c.candidates] == ["him"]
    assert c.mapping["format"] == "msmarco"
    with pytest.raises(
        CollectionError, match=r"the columns must fit exactly one known format, but fit none; columns: a, b"
    ):
        load_collection(saved([{"a": "1", "b": "2"}], tmp_path / "other"))


def test_saved_splits_are_chosen(tmp_path):
    datasets = pytest.importorskip("datasets")
    by_name = {s: datasets.Dataset.from_list([{"anchor": s, "positive": "him"}]) for s in ("train", "dev")}
    datasets.DatasetDict(by_name).save_to_disk(str(tmp_path / "set"))
    assert load_collection(f"hf:{tmp_path / 'set'}", split="dev").queries["q0"].text == "dev"
    with pytest.raises(CollectionError, match=r"several splits, none of them named test: dev, train"):
        load_collection(tmp_path / "set")


def test_saved_parts_are_read(tmp_path):
    saved([{"_id": p.id, "title": p.title, "text": p.text} for p in TOY[0]], tmp_path / "corpus")
    saved([{"_id": q.id, "text": q.text} for q in TOY[1]], tmp_path / "queries")
    rows = [{"query-id": j.query_id, "corpus-id": j.passage_id, "score": j.relevance} for j in TOY[2]]
    saved(rows, tmp_path / "default")
    assert_same(load_collection(tmp_path), TOY)


class Hub:
    """Stands in for the library `datasets` with one data set in BEIR layout."""

    def __init__(self, parts):
        passages, queries, judgments = parts
        self.tables = {
            "corpus": {"corpus": [{"_id": p.id, "title": p.title, "text": p.text} for p in passages]},
            "queries": {s: [{"_id": q.id, "text": q.text} for q in queries] for s in ("dev", "test")},
            "default": {
                s: [{"query-id": j.query_id, "corpus-id": j.passage_id, "score": j.relevance} for j in judgments]
                for s in ("dev", "test", "train")
            },
        }

    def get_dataset_config_names(self, name, revision=None):
        return list(self.tables)

    def load_dataset(self, name, part, revision=None):
        return self.tables[part]


def test_hub_names_are_read_by_their_configurations(monkeypatch):
    hub = Hub(TOY)
    monkeypatch.setattr(hugging_face, "_hub", lambda name: hub)
    c = load_collection("hf:mteb/arguana")
    assert_same(c, TOY)
    assert (c.name, c.ignore_identical_ids, c.mapping["split"]) == ("arguana", True, "test")
    with pytest.raises(CollectionError, match=r"the part 'queries' has no split 'train'; its splits: dev, test"):
        load_collection("hf:mteb/arguana", split="train")
    del hub.tables["queries"]
    with pytest.raises(
        CollectionError, match=r"expected parts corpus, queries and one of qrels(.|\n)*found: corpus, default"
    ):
        load_collection("hf:mteb/arguana")


def test_hf_judgments_need_their_columns(monkeypatch):
    hub = Hub(TOY)
    hub.tables["default"] = {"test": [{"query-id": "q1", "corpus": "d2", "score": 1}]}
    monkeypatch.setattr(hugging_face, "_hub", lambda name: hub)
    with pytest.raises(
        CollectionError, match=r"row 1: no column 'corpus-id'(.|\n)*found: query-id, corpus, score"
    ) as caught:
        load_collection("hf:mteb/toy")
    assert "data.columns" not in str(caught.value)  # the columns of qrels cannot be mapped to others


def test_missing_extras_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: None)
    monkeypatch.setattr(irds, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"datasets is not installed\n  fix: pip install 'retroscope\[datasets\]'"
    ):
        load_collection("hf:mteb/nq")
    with pytest.raises(MissingExtraError, match=r"fix: pip install 'retroscope\[ir-datasets\]'"):
        load_collection("ir_datasets:beir/nq/test")


Doc = namedtuple("Doc", "doc_id text title")
Flat = namedtuple("Flat", "doc_id text")
Topic = namedtuple("Topic", "query_id text")
Qrel = namedtuple("Qrel", "query_id doc_id relevance iteration")


class Body(namedtuple("Body", "doc_id headline body")):
    def default_text(self):
        return f"{self.headline} {self.body}"


class Irds:
    """Stands in for an ir_datasets data set."""

    def __init__(self, docs, queries, qrels):
        self.docs, self.queries, self.qrels = docs, queries, qrels

    def __getattr__(self, name):
        part, _, what = name.rpartition("_")
        if what == "iter":
            return lambda: iter(getattr(self, part))
        return lambda: bool(getattr(self, name.removeprefix("has_")))


def test_ir_datasets_are_read():
    docs = [Doc("d1", "one", "Title"), Flat("d2", "two"), Body("d3", "Head", "three")]
    data = Irds(docs, [Topic("q1", "first"), Topic("q2", "unjudged")], [Qrel("q1", "d2", 2, "0")])
    c = irds.irds_collection(data, "beir/quora/test")
    assert [(p.id, p.title, p.text) for p in c.passages.values()] == [
        ("d1", "Title", "one"),
        ("d2", "", "two"),
        ("d3", "", "Head three"),
    ]
    assert c.qrels == {"q1": {"d2": 2}}
    assert (c.ignore_identical_ids, c.source) == (True, "ir_datasets:beir/quora/test")
    with pytest.raises(CollectionError, match=r"beir/quora: this data set of ir_datasets has no qrels"):
        irds.irds_collection(Irds(docs, data.queries, []), "beir/quora")


def test_unknown_ir_datasets_are_named(monkeypatch):
    library = pytest.importorskip("ir_datasets")

    def load(name):
        raise KeyError(name)

    monkeypatch.setattr(library, "load", load)
    with pytest.raises(CollectionError, match=r"beir/no: ir_datasets has no data set 'beir/no'"):
        load_collection("ir_datasets:beir/no")
