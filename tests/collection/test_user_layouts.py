"""Layouts that people have: read as they are meant, or refused with the path or the words that were meant."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_folders import TOY, lines_of, write_beir

from retroscope.collection.bm25 import bm25_ranking
from retroscope.collection.loading import load_collection
from retroscope.collection.named import NAMED
from retroscope.collection.readers import hugging_face
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, SettingsError

QUESTION = {
    "question": "what lowers fever",
    "answers": ["aspirin"],
    "positive_ctxs": [{"title": "Aspirin", "text": "Aspirin lowers fever.", "passage_id": "7"}],
    "hard_negative_ctxs": [{"title": "Tea", "text": "Tea is a drink.", "passage_id": "8"}],
}
DOCS = """<DOC>
<DOCNO> FT911-1 </DOCNO>
<HEADLINE>FT 14 MAY / Tea &amp; trade</HEADLINE>
<TEXT>
<P>Tea is sold
in Dublin.</P>
</TEXT>
</DOC>
<DOC><DOCNO>FT911-2</DOCNO><TEXT>Aspirin lowers fever.</TEXT></DOC>
"""
CARD = """---
license: mit
configs:
- config_name: corpus
  data_files:
  - split: corpus
    path: all/passages-*.parquet
- config_name: queries
  data_files:
  - split: queries
    path: all/questions.jsonl
- config_name: default
  data_files:
  - split: test
    path: judged/test.tsv
---
# A data set
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def dpr_folder(folder: Path) -> Path:
    write(folder / "biencoder-nq-train.json", json.dumps([QUESTION]))
    write(folder / "biencoder-nq-dev.json", json.dumps([{**QUESTION, "question": "who sells tea"}]))
    write(folder / "psgs_w100.tsv", "id\ttext\ttitle\n7\tAspirin lowers fever.\tAspirin\n")
    return folder


def test_a_folder_of_dpr_files_is_read_by_split(tmp_path: Path) -> None:
    folder = dpr_folder(tmp_path / "nq")
    dev = load_collection(folder, split="dev")
    assert [query.text for query in dev.queries.values()] == ["who sells tea"]
    assert (dev.name, dev.mapping["file"], [*dev.passages]) == ("nq", "biencoder-nq-dev.json", ["7", "8"])
    assert dev.notes == ("psgs_w100.tsv is not read: the passages are the contexts of the questions",)
    with pytest.raises(CollectionError, match="several splits, none of them named test: dev, train"):
        load_collection(folder)
    with pytest.raises(SettingsError, match="did you mean 'train'"):
        load_collection(folder, split="trian")
    write(folder / "extra-train.json", json.dumps([QUESTION]))
    with pytest.raises(
        CollectionError, match=r"biencoder-nq-train\.json and extra-train\.json both belong to the split 'train'"
    ):
        load_collection(folder, split="dev")


@pytest.mark.parametrize("layout", ["file", "folder", "gzipped"])
def test_trec_documents_in_sgml_are_a_corpus(layout: str, tmp_path: Path) -> None:
    write(tmp_path / "qrels.txt", "301 0 FT911-1 1\n301 0 FT911-2 0\n")
    write(tmp_path / "topics.txt", "<top>\n<num> Number: 301\n<title> tea trade\n</top>\n")
    if layout == "file":
        write(tmp_path / "docs.sgml", DOCS)
    elif layout == "folder":
        first, second = DOCS.split("<DOC><DOCNO>")
        write(tmp_path / "docs" / "ft" / "ft911_1", first)
        write(tmp_path / "docs" / "ft" / "ft911_2", f"<DOC><DOCNO>{second}")
    else:
        (tmp_path / "corpus.gz").write_bytes(gzip.compress(DOCS.encode()))
    collection = load_collection(tmp_path)
    assert collection.mapping["format"] == "trec"
    passages = {p.id: (p.title, p.text) for p in collection.passages.values()}
    assert passages == {
        "FT911-1": ("FT 14 MAY / Tea & trade", "Tea is sold in Dublin."),
        "FT911-2": ("", "Aspirin lowers fever."),
    }
    assert collection.queries["301"].text == "tea trade"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<DOC>\n<DOCNO>a</DOCNO>\n<DOC><DOCNO>b</DOCNO></DOC>\n",
            "docs, line 1: the <DOC> that begins in this line has no </DOC>",
        ),
        ("<DOC>\n<TEXT>x</TEXT></DOC>\n", "docs, line 1: the <DOC> that begins in this line has no <DOCNO>"),
        (
            "<DOC><DOCNO>a</DOCNO><TEXT>x</TEXT></DOC><DOC><DOCNO>b</DOCNO><TEXT>y</TEXT></DOC>\n",
            "docs, line 1: the <DOC> that begins in this line has several <DOCNO>: a, b",
        ),
    ],
)
def test_broken_documents_are_named(text: str, expected: str, tmp_path: Path) -> None:
    write(tmp_path / "qrels", "1 0 a 1\n")
    write(tmp_path / "topics", "1\tx\n")
    write(tmp_path / "docs", text)
    with pytest.raises(CollectionError, match=expected):
        load_collection(tmp_path)


def test_a_copy_of_a_hub_repository_is_read_by_its_card(tmp_path: Path) -> None:
    write(tmp_path / "README.md", CARD)
    (tmp_path / "all").mkdir()
    for k, (key, text) in enumerate([("p1", "Aspirin lowers fever."), ("p2", "Tea is a drink.")]):
        table = pa.Table.from_pylist([{"_id": key, "title": "", "text": text}])
        pq.write_table(table, tmp_path / "all" / f"passages-{k}.parquet")
    write(tmp_path / "all" / "questions.jsonl", lines_of([{"_id": "q1", "text": "what lowers fever"}]))
    write(tmp_path / "judged" / "test.tsv", "query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    collection = load_collection(tmp_path)
    assert (collection.mapping["format"], collection.mapping["split"]) == ("hf", "test")
    assert ([*collection.passages], collection.qrels) == (["p1", "p2"], {"q1": {"p1": 1}})


def test_a_card_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "outside.jsonl", lines_of([{"_id": "p1", "text": "x"}]))
    for path in ("../outside.jsonl", str(tmp_path / "outside.jsonl")):
        write(tmp_path / "in" / "README.md", CARD.replace("all/passages-*.parquet", path))
        with pytest.raises(CollectionError):
            load_collection(f"hf:{tmp_path / 'in'}")


@pytest.mark.parametrize("place", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_file_of_a_beir_folder_leads_to_the_folder(place: str, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "nq", TOY)
    with pytest.raises(CollectionError, match=rf"a folder that contains this file(.|\n)*give the folder {folder}"):
        load_collection(folder / place)


def test_a_parent_of_collections_leads_to_them(tmp_path: Path) -> None:
    one, two = (write_beir(tmp_path / "beir" / name, TOY) for name in ("nq", "scifact"))
    with pytest.raises(
        CollectionError, match=rf"a folder that lies inside this folder(.|\n)*give the folder {one} or {two}"
    ):
        load_collection(tmp_path / "beir")
    snapshot = write_beir(tmp_path / "datasets--mteb--nq" / "snapshots" / "abc", TOY)
    with pytest.raises(CollectionError, match=rf"give the folder {snapshot}"):
        load_collection(tmp_path / "datasets--mteb--nq")


def test_other_columns_are_named_in_the_words_of_the_command_line(tmp_path: Path) -> None:
    file = write(tmp_path / "pairs.csv", "question,passage\nwhat lowers fever,Aspirin lowers fever.\n")
    with pytest.raises(CollectionError) as caught:
        load_collection(file)
    assert f"--data st:{file} --set data.columns='{{query: question, positive: passage}}'" in str(caught.value)
    read = load_collection(f"st:{file}", columns={"query": "question", "positive": "passage"})
    assert len(read.judgments) == 1
    with pytest.raises(CollectionError, match=r"--set data\.columns='\{query: COLUMN\}'"):
        load_collection(f"st:{file}")


def test_rows_of_squad_are_questions_and_contexts(tmp_path: Path) -> None:
    answers = {"text": ["fever"], "answer_start": [15]}
    row = {
        "id": "1",
        "title": "Aspirin",
        "context": "Aspirin lowers fever.",
        "question": "lowers what?",
        "answers": answers,
    }
    file = write(tmp_path / "squad.jsonl", lines_of([row]))
    with pytest.raises(CollectionError, match=r"data\.columns='\{query: question, positive: context\}'"):
        load_collection(file)
    del row["question"]
    with pytest.raises(CollectionError, match=r"data\.columns='\{query: title, positive: context\}'"):
        load_collection(write(tmp_path / "titles.jsonl", lines_of([row])))


@pytest.mark.parametrize("prefix", ["", "trec:"])
def test_an_incomplete_trec_folder_is_told_what_it_lacks(prefix: str, tmp_path: Path) -> None:
    def problem() -> str:
        with pytest.raises(CollectionError) as caught:
            load_collection(f"{prefix}{tmp_path}")
        return str(caught.value)

    write(tmp_path / "queries.tsv", "q1\twhat lowers fever\n")
    assert ("as qrels or corpus" if prefix else "no format fits this path") in problem()
    write(tmp_path / "collection.tsv", "p1\tAspirin lowers fever.\n")
    write(tmp_path / "judged-pass.txt", "q1 0 p1 2\n")
    assert "no file of this folder is recognised by its name as qrels\n" in problem()
    file = write(tmp_path / "qrels.txt", "q1 Q0 p1 1 2.5 a-run\n")
    assert f"{file}, line 1: this line has 6 columns, but qrels have 3 or 4" in problem()
    (tmp_path / "collection.tsv").unlink()
    write(tmp_path / "msmarco.tsv", "p1\tAspirin lowers fever.\n")
    assert "no file of this folder is recognised by its name as corpus\n" in problem()


@pytest.mark.parametrize(("ending", "mark", "shown"), [("tsv", "\t", r"\t"), ("csv", ",", ",")])
def test_rows_without_a_header_are_told_so(ending: str, mark: str, shown: str, tmp_path: Path) -> None:
    text = mark.join(["what lowers fever, quickly?", "Aspirin lowers fever.", "Tea."]).replace(", ", " ")
    file = write(tmp_path / f"triples.{ending}", f"{text}\n{text}\n")
    with pytest.raises(CollectionError) as caught:
        load_collection(file)
    header = shown.join(["query", "positive", "negative_1"])
    assert f"the first line is not a header: insert a line of column names, e.g. sed -i '1i {header}' {file}" in str(
        caught.value
    )


def test_pairs_with_a_label_are_relevant_where_it_is_one(tmp_path: Path) -> None:
    rows = [
        ("fever?", "Aspirin.", 1),
        ("fever?", "Tea.", 0),
        ("fever?", "Oil.", 0),
        ("tea?", "Tea.", 1),
        ("oil?", "Tea.", 0),
    ]
    file = write(tmp_path / "p.jsonl", lines_of({"query": q, "positive": p, "label": s} for q, p, s in rows))
    collection = load_collection(file)
    judged = {
        (collection.queries[j.query_id].text, collection.passages[j.passage_id].text) for j in collection.judgments
    }
    assert judged == {("fever?", "Aspirin."), ("tea?", "Tea.")}
    assert collection.mapping["score"] == "label"
    assert [p.text for p in collection.passages.values()] == ["Aspirin.", "Tea.", "Oil."]
    assert [q.text for q in collection.queries.values()] == ["fever?", "tea?"]
    assert collection.rows == ()
    assert collection.notes == (
        "3 rows labelled 0 (not relevant), whose passages are in the corpus without a judgment",
    )


def test_rows_labelled_0_are_no_choices_of_the_published_protocol(tmp_path: Path) -> None:
    rows = [
        {"query": "fever?", "positive": "Aspirin.", "negative_1": "Tea.", "label": 1},
        {"query": "fever?", "positive": "Oil.", "negative_1": "Salt.", "label": 0},
        {"query": "tea?", "positive": " ", "label": 0},
    ]
    collection = load_collection(write(tmp_path / "p.jsonl", lines_of(rows)))
    assert [p.text for p in collection.passages.values()] == ["Aspirin.", "Tea.", "Oil.", "Salt."]
    assert collection.rows == collection.candidates == (Candidates("q0", "p0", ("p1",)),)
    assert collection.judgments == (Judgment("q0", "p0"),)
    assert [note.split()[:2] for note in collection.notes] == [["1", "passages"], ["2", "rows"]]


def test_an_unjudged_passage_without_title_and_text_is_left_out_as_fiqa_has_some(tmp_path: Path) -> None:
    passages, (_, *others), judgments = TOY
    queries = [Query("q1", "a title"), *others]
    folder = write_beir(tmp_path / "fiqa", ([*passages, Passage("d3", ""), Passage("d4", "\n")], queries, judgments))
    collection = load_collection(folder)
    assert list(collection.passages) == ["../d1", "d2"]
    assert collection.notes == (
        "2 passages have neither title nor text; no judgment names them, so they are left out",
        "left out 1 query without a judgment in these qrels, e.g. of other splits",
    )
    assert list(bm25_ranking(collection)("q1", 10)) == ["../d1"]
    write_beir(folder, ([*passages, Passage("d3", "")], queries, [*judgments, Judgment("q1", "d3", 0)]))
    with pytest.raises(CollectionError, match=r"passages without title or text:\n  - 'd3'"):
        load_collection(folder)


def test_negatives_without_text_stay_an_error(tmp_path: Path) -> None:
    row = {"query": "fever?", "pos": ["Aspirin."], "neg": ["Tea.", ""]}
    with pytest.raises(CollectionError, match=r"passages without title or text:\n  - 'p2'"):
        load_collection(write(tmp_path / "f.jsonl", lines_of([row])))


@pytest.mark.parametrize("score", [0.83, 3, "high", None])
def test_a_score_that_says_not_which_pairs_are_relevant_is_refused(score: object, tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", lines_of([{"query": "q", "positive": "p", "score": score}]))
    with pytest.raises(CollectionError, match=r"does not say whether the pair is relevant(.|\n)*1 \(relevant\) or 0"):
        load_collection(file)


def test_a_named_collection_is_read_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    parts = {
        "corpus": {"corpus": [{"_id": "p1", "title": "A", "text": "x"}]},
        "queries": {"queries": [{"_id": "q1", "text": "y"}]},
        "default": {"test": [{"query-id": "q1", "corpus-id": "p1", "score": 1}], "train": []},
    }

    def load(name: str, part: str, revision: str) -> dict[str, list[dict[str, object]]]:
        asked.append((name, part, revision))
        return parts[part]

    library = SimpleNamespace(get_dataset_config_names=lambda name, revision: [*parts], load_dataset=load)
    monkeypatch.setattr(hugging_face, "_hub", lambda source: library)
    collection = load_collection("named:scifact")
    assert (collection.name, collection.mapping["split"]) == ("scifact", "test")
    assert {(name, revision) for name, _, revision in asked} == {("mteb/scifact", NAMED["scifact"].revision)}


def test_a_named_collection_that_is_not_read_says_what_to_do() -> None:
    with pytest.raises(
        CollectionError, match=r"named:xquad: the published file layout(.|\n)*convert the files to BEIR's corpus\.jsonl"
    ):
        load_collection("named:xquad")
    with pytest.raises(SettingsError, match="did you mean 'scifact'"):
        load_collection("named:scifct")


def test_every_named_collection_states_its_facts_or_how_to_get_it() -> None:
    for name, row in NAMED.items():
        assert bool(row.source) != bool(row.get), name
        assert row.stated_by or not (row.revision or row.licence or row.measure), name
        assert not row.revision or len(row.revision) == 40, name
