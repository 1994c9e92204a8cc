import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retroscope.collection.loading import load_collection
from retroscope.collection.readers.registry import READERS
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, SettingsError

WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
TITLES = st.one_of(st.just(""), WORDS)
PASSAGES = st.tuples(TITLES, WORDS)


@st.composite
def choices(draw, titles=True):
    """Rows of (query, positive, negatives) in which no negative is a positive, and every pair comes once."""
    pool = draw(st.lists(PASSAGES if titles else st.tuples(st.just(""), WORDS), min_size=3, max_size=9, unique=True))
    rows = draw(
        st.lists(st.tuples(WORDS, st.integers(0, 1), st.sets(st.integers(2, len(pool) - 1), min_size=1)), min_size=1)
    )
    seen = {(query, positive): negatives for query, positive, negatives in rows}
    return [(query, pool[p], [pool[n] for n in sorted(negatives)]) for (query, p), negatives in seen.items()]


def as_ielab(rows):
    return [
        {"question": q, "positive_context": p[1], **{f"negative_context_{k}": n[1] for k, n in enumerate(negatives)}}
        for q, p, negatives in rows
    ]


def as_st(rows):
    return [
        {"anchor": q, "positive": p[1], **{f"negative_{k}": n[1] for k, n in enumerate(negatives, 1)}}
        for q, p, negatives in rows
    ]


def as_flag(rows):
    return [{"query": q, "pos": [p[1]], "neg": [n[1] for n in ns], "pos_scores": [1.0]} for q, p, ns in rows]


def as_dpr(rows):
    def contexts(passages):
        return [{"title": title, "text": text} for title, text in passages]

    return [
        {
            "question": q,
            "answers": [],
            "positive_ctxs": contexts([p]),
            "hard_negative_ctxs": contexts(ns),
            "negative_ctxs": [],
        }
        for q, p, ns in rows
    ]


def as_tevatron(rows):
    def known(passages):
        return [{"docid": f"{title}|{text}", "title": title, "text": text} for title, text in passages]

    return [
        {"query_id": f"id {q}", "query": q, "positive_passages": known([p]), "negative_passages": known(ns)}
        for q, p, ns in rows
    ]


def as_msmarco(rows):
    return [
        {"query": q, "passages": {"passage_text": [n[1] for n in ns] + [p[1]], "is_selected": [0] * len(ns) + [1]}}
        for q, p, ns in rows
    ]


FORMATS = {
    "ielab": (as_ielab, False),
    "st": (as_st, False),
    "flag": (as_flag, False),
    "dpr": (as_dpr, True),
    "tevatron": (as_tevatron, True),
    "msmarco": (as_msmarco, False),
}


def write(path, records):
    if path.suffix == ".parquet":
        names = dict.fromkeys(name for r in records for name in r)
        pq.write_table(pa.table({name: [r.get(name) for r in records] for name in names}), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(records), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def in_texts(c):
    """Judgments and candidates of a collection by text instead of by id."""

    def passage(key):
        return (c.passages[key].title, c.passages[key].text)

    judged = {(c.queries[j.query_id].text, passage(j.passage_id)) for j in c.judgments if j.relevance > 0}
    offered = {
        (c.queries[x.query_id].text, passage(x.positive)): [passage(n) for n in x.negatives] for x in c.candidates
    }
    return judged, offered


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("form", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(data=st.data())
def test_what_is_written_is_read_back(tmp_path, form, ending, data):
    written, titles = FORMATS[form]
    rows = data.draw(choices(titles))
    c = load_collection(write(tmp_path / f"{form}.{ending}", written(rows)))  # recognised by its content
    judged, offered = in_texts(c)
    assert judged == {(q, p) for q, p, _ in rows}
    assert offered == {(q, p): ns for q, p, ns in rows}
    texts = list(c.passages.values())
    assert len({(p.title, p.text) for p in texts}) == len(texts)
    assert len({q.text for q in c.queries.values()}) == len(c.queries)
    assert c.mapping["format"] == form
    assert c.notes == ()


@pytest.mark.parametrize("form", FORMATS)
def test_each_row_file_is_recognised_by_exactly_one_reader(tmp_path, form):
    path = write(tmp_path / "x.jsonl", FORMATS[form][0]([("who", ("", "him"), [("", "her")])]))
    assert [name for name, reader in READERS.items() if reader.recognises(path)] == [form]


def test_ids_count_in_order_of_first_appearance_and_texts_are_shared(tmp_path):
    rows = [("b?", ("", "B"), [("", "x")]), ("a?", ("", "A"), [("", "B")]), ("b?", ("", "A"), [("", "x")])]
    c = load_collection(write(tmp_path / "x.jsonl", as_st(rows)))
    assert list(c.queries.values()) == [Query("q0", "b?"), Query("q1", "a?")]
    assert list(c.passages.values()) == [Passage("p0", "B"), Passage("p1", "x"), Passage("p2", "A")]
    assert c.judgments == (Judgment("q0", "p0"), Judgment("q1", "p2"), Judgment("q0", "p2"))
    assert c.candidates == (
        Candidates("q0", "p0", ("p1",)),
        Candidates("q1", "p2", ("p0",)),
        Candidates("q0", "p2", ("p1",)),
    )


def test_triplets_of_one_pair_are_joined(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("query,answer,negative\nwho,him,her\nwho,him,it\nwho,him,her\n")
    c = load_collection(path)
    assert c.candidates == (Candidates("q0", "p0", ("p1", "p2")),)
    assert c.notes == ("1 negatives given twice for a query and positive, which the default protocol uses once",)


def test_numbered_negatives_come_by_number_and_empty_ones_are_no_passages(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("anchor,positive,negative_10,negative_2,negative_x\nwho,him,ten,two,no\nwhat,it,,second,no\n")
    c = load_collection(path)
    texts = [[c.passages[n].text for n in x.negatives] for x in c.candidates]
    assert texts == [["two", "ten"], ["second"]]


def test_pairs_without_negatives_have_no_candidates(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("query\tpositive\nwho\thim\n")
    c = load_collection(path)
    assert (len(c.judgments), c.candidates) == (1, ())


def test_a_negative_that_is_a_positive_of_its_row_is_left_out_and_counted(tmp_path):
    c = load_collection(write(tmp_path / "x.jsonl", [{"query": "who", "pos": ["him", "he"], "neg": ["he", "her"]}]))
    assert [x.negatives for x in c.candidates] == [("p2",), ("p2",)]
    assert c.notes == ("2 negatives that are a positive of the same row, which the default protocol leaves out",)


def test_msmarco_queries_without_a_selected_passage_are_counted_not_hidden(tmp_path):
    passages = [{"passage_text": "him", "is_selected": 0, "url": "u"}, {"passage_text": "her", "is_selected": 1}]
    records = [
        {"query_id": 7, "query": "who", "passages": passages},
        {"query_id": 8, "query": "what", "passages": passages[:1]},
        {"query_id": 9, "query": "which", "passages": []},
    ]
    c = load_collection(write(tmp_path / "x.jsonl", records))
    assert list(c.queries) == ["7"]
    assert [c.passages[x.positive].text for x in c.candidates] == ["her"]
    assert c.notes == ("2 rows without a relevant passage, left out with their other passages",)


def test_dpr_ids_are_kept_and_hard_negatives_come_first(tmp_path):
    def context(key, text):
        return {"title": "T", "text": text, "passage_id": key}

    row = {
        "question": "who",
        "positive_ctxs": [context("11", "him"), context(12, "he")],
        "hard_negative_ctxs": [context("13", "her")],
        "negative_ctxs": [{"title": "T", "text": "it", "psg_id": "14"}],
    }
    c = load_collection(write(tmp_path / "x.json", [row]))
    assert c.candidates == (Candidates("q0", "11", ("13", "14")), Candidates("q0", "12", ("13", "14")))
    assert c.passages["13"] == Passage("13", "her", "T")


def test_one_id_cannot_have_two_texts(tmp_path):
    def row(text):
        return {"query": "who", "positive_passages": [{"docid": "1", "text": text}], "negative_passages": []}

    with pytest.raises(CollectionError, match=r"line 2: two different texts have the id '1'"):
        load_collection(write(tmp_path / "x.jsonl", [row("him"), row("her")]))


def test_tevatron_2_reads_the_corpus_beside_it(tmp_path):
    rows = [
        {"query_id": "a", "query_text": "who", "positive_document_ids": ["d2"], "negative_document_ids": ["d1", "d3"]},
        {"query_id": "b", "query_text": "what", "positive_document_ids": [], "negative_document_ids": ["d1"]},
    ]
    path = write(tmp_path / "train.jsonl", rows)
    with pytest.raises(
        CollectionError,
        match=r"exactly one file corpus\.\* must be in the same folder; found: none(.|\n)*put the passages into",
    ):
        load_collection(path)
    write(tmp_path / "corpus.parquet", [{"docid": f"d{k}", "title": "", "text": f"text {k}"} for k in range(5)])
    c = load_collection(path)
    assert list(c.passages) == [f"d{k}" for k in range(5)]
    assert c.candidates == (Candidates("a", "d2", ("d1", "d3")),)
    assert c.notes == ("1 rows without a relevant passage, left out with their other passages",)
    write(tmp_path / "corpus.jsonl", [{"docid": "d1", "text": "x"}])
    with pytest.raises(
        CollectionError, match=r"exactly one file corpus\.\* must be in the same folder; found: corpus\..*, corpus\."
    ):
        load_collection(path)


def test_a_missing_column_is_named_with_its_neighbour(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"querry": "who", "positive": "him"}])
    with pytest.raises(
        CollectionError,
        match=r"x\.jsonl, line 1: no column 'anchor' or 'query'; found: querry, positive(.|\n)*columns=\{'query'",
    ):
        load_collection(f"st:{path}")
    path = write(tmp_path / "y.jsonl", [{"query": "who", "positive": "him"}, {"query": "what", "positiv": "it"}])
    with pytest.raises(CollectionError, match=r"line 2: no column 'positive'(.|\n)*did you mean 'positiv'"):
        load_collection(path)


def test_columns_can_be_named_and_are_shown(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"q": "who", "doc": "him", "bad_1": "her"}])
    c = load_collection(f"st:{path}", columns={"query": "q", "positive": "doc", "negative": "bad"})
    assert c.passages["p1"].text == "her"
    assert c.mapping == {"format": "st", "query": "q", "positive": "doc", "negative": "bad"}
    with pytest.raises(SettingsError, match=r"unknown field in columns 'positve'\n.*did you mean 'positive'"):
        load_collection(f"st:{path}", columns={"query": "q", "positve": "doc"})
    with pytest.raises(CollectionError, match=r"no column 'worse_1'; found: q, doc, bad_1"):
        load_collection(f"st:{path}", columns={"query": "q", "positive": "doc", "negative": "worse"})
    with pytest.raises(CollectionError, match=r"no column 'docs'"):
        load_collection(f"st:{path}", columns={"query": "q", "positive": "docs"})


WRONG = {
    "text": ("st", {"query": "who", "positive": ["him"]}, r"column 'positive' must be text, found list"),
    "list": ("flag", {"query": "who", "pos": 3}, r"column 'pos' must be a list, found int"),
    "texts": ("flag", {"query": "who", "pos": [3]}, r"column 'pos' must be a list of texts"),
    "objects": ("dpr", {"question": "who", "positive_ctxs": ["him"]}, r"'positive_ctxs' must be a list of objects"),
    "inner": ("dpr", {"question": "who", "positive_ctxs": [{"title": "T"}]}, r"no column 'text'; found: title"),
    "id": (
        "tevatron",
        {"query": "who", "positive_passages": [{"docid": 1.5, "text": "him"}]},
        r"column 'docid' must be an id \(text or a whole number\), found float",
    ),
    "marks": (
        "msmarco",
        {"query": "who", "passages": {"passage_text": ["a"], "is_selected": []}},
        r"is_selected must be a list of 1 marks, one for each text in passage_text; found \[\]",
    ),
    "no mark": ("msmarco", {"query": "who", "passages": [{"passage_text": "a"}]}, r"no column 'is_selected'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_types_are_named_with_their_line(tmp_path, case):
    form, record, message = WRONG[case]
    path = write(tmp_path / "x.jsonl", [record])
    with pytest.raises(CollectionError, match=rf"x\.jsonl, line 1: (.|\n)*{message}"):
        load_collection(f"{form}:{path}")


def test_rows_have_no_splits(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"query": "who", "positive": "him"}])
    with pytest.raises(SettingsError, match=r"has no splits, but split='dev'"):
        load_collection(path, split="dev")


def test_an_empty_file_of_a_named_format_is_an_error(tmp_path):
    path = write(tmp_path / "x.jsonl", [])
    with pytest.raises(CollectionError, match="there are no passages"):
        load_collection(f"st:{path}")


LATER = {
    "dpr": (
        {"question": "a", "positive_ctxs": [{"text": "A"}]},
        {"question": "b", "positive_ctxs": [{"text": "B"}], "hard_negative_ctxs": [{"text": "C"}], "answers": ["x"]},
    ),
    "tevatron": (
        {"query": "a", "positive_passages": [{"text": "A"}]},
        {"query": "b", "positive_passages": [{"text": "B"}], "negative_passages": [{"text": "C"}], "answers": ["x"]},
    ),
    "flag": ({"query": "a", "pos": ["A"]}, {"query": "b", "pos": ["B"], "neg": ["C"]}),
}


@pytest.mark.parametrize("form", LATER)
@pytest.mark.parametrize("order", [1, -1])
def test_fields_that_the_first_row_lacks_are_read_in_later_rows(tmp_path, form, order):
    c = load_collection(f"{form}:{write(tmp_path / 'x.jsonl', LATER[form][::order])}")
    named = {query.text: query for query in c.queries.values()}
    assert [(i.query_id, [c.passages[n].text for n in i.negatives]) for i in c.candidates] == [(named["b"].id, ["C"])]
    assert named["b"].answers == (("x",) if "answers" in LATER[form][1] else ())


@pytest.mark.parametrize("column", ["label", "score"])
def test_a_label_that_only_some_rows_have_is_refused(tmp_path, column):
    rows = [{"query": "a", "positive": "A"}, {"query": "b", "positive": "B", column: 0}]
    with pytest.raises(CollectionError, match=rf"x\.jsonl, line 2: this row has the column '{column}', but the first"):
        load_collection(write(tmp_path / "x.jsonl", rows))
    with pytest.raises(CollectionError, match=r"y\.jsonl, line 2: the score None in column"):
        load_collection(write(tmp_path / "y.jsonl", rows[::-1]))


def test_of_two_columns_that_may_be_the_score_one_must_be_named(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"query": "a", "positive": "A", "score": 1, "label": 0},
                                        {"query": "b", "positive": "B", "score": 1, "label": 1}])  # fmt: skip
    with pytest.raises(CollectionError, match=r"line 1: several columns could be the score: score, label"):
        load_collection(path)
    c = load_collection(path, columns={"score": "label"})
    assert [c.queries[j.query_id].text for j in c.judgments] == ["b"]
