"""What used to come in by the door, what it did to the measures, and what is said of it now.

python benchmarks/audit/doors.py
"""

import csv
import gzip
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import ir_measures
import numpy as np

from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.readers.numbers import relevance_of
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import RetroscopeError
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import measure_queries
from retroscope.retrieval.retrieve import retrieve
from retroscope.study.demo import shipped

WIDTH = 46
MARKED, LISTED = 60, 10  # queries of the made MS MARCO set, and passages of each
BERT, ROOT = "sentence_bert_config.json", "config_sentence_transformers.json"


def row(what: str, before: object, after: str) -> None:
    """Print a line of the table."""
    print(f"{what:<{WIDTH}}{before!s:>14}  {after}")


def answer_of(attempt: Callable[[], object]) -> str:
    """The first line of an error with its file and line, or what was accepted."""
    try:
        return f"accepted: {attempt()!r}"
    except RetroscopeError as error:
        place = f"{Path(error.where).name}: " if error.where else ""
        return f"refused: {place}{error.what.splitlines()[0]}"[:120]


def measured(name: str, grade: int, passage: str = "a") -> float:
    """A measure of a perfect ranking, straight from ir-measures, as before."""
    qrels = {"q": {passage: grade}, "r": {"b": 1}}
    run = {"q": {passage: 1.0}, "r": {"b": 1.0}}
    return float(np.mean([m.value for m in ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)]))


def grades() -> None:
    """Grades: what Python reads as a number."""
    for text in ("1", "2.0", "4294967296", "2147483647", "1_000", "１", "1e3", "0x1", "nan", "0.5"):
        try:
            before = f"{int(float(text)):d}" if float(text).is_integer() else "refused"
        except ValueError:
            before = "refused"
        row(f"grade {text}", before, answer_of(lambda text=text: relevance_of(text, "")))
    row("nDCG@10 of a perfect ranking, grade 2^32", f"{measured('nDCG@10', 2**32):.3f}", "refused")
    row("nDCG@10 of a perfect ranking, grade 1000", f"{measured('nDCG@10', 1000):.3f}", "the same")


def marks(folder: Path) -> None:
    """MS MARCO: one passage of each query is selected, and one other has the mark that people write for "not"."""
    for mark in (0, None, False, "0", -1, [0]):
        selected = [[1, mark, *[0] * (LISTED - 2)] for _ in range(MARKED)]
        file = write_marks(folder / "set.jsonl", selected)
        before, after = f"{by_truth(selected):.3f}", answer_of(lambda file=file: by_library(file))
        row(f"is_selected {mark!r}: nDCG@10", before, after)


def write_marks(file: Path, selected: list[list[object]]) -> Path:
    """Write a set of which every query has its own passages."""
    records = [
        {"query": f"q{q}", "passages": {"passage_text": [f"p{q}-{p}" for p in range(LISTED)], "is_selected": of_query}}
        for q, of_query in enumerate(selected)
    ]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def made_run() -> dict[str, list[tuple[str, float]]]:
    """Return a ranking of each query's passages by chance, with the first passage, the selected one, preferred."""
    scores = np.random.default_rng(0).standard_normal((MARKED, LISTED))
    scores[:, 0] += 2
    run = {f"q{q}": [(f"p{q}-{p}", float(one)) for p, one in enumerate(of_query)] for q, of_query in enumerate(scores)}
    return {query: sorted(ranking, key=lambda scored: -scored[1]) for query, ranking in run.items()}


def by_truth(selected: list[list[object]]) -> float:
    """Return nDCG@10 where every mark that Python takes for true is relevant, as before."""
    qrels = {f"q{q}": {f"p{q}-{p}": int(bool(mark)) for p, mark in enumerate(one)} for q, one in enumerate(selected)}
    return float(measure_queries(made_run(), qrels, ["nDCG@10"]).mean())


def by_library(file: Path) -> float:
    """Return nDCG@10 by the judgments that the library reads."""
    collection = load_collection(file)
    qrels: dict[str, dict[str, int]] = {}
    for one in collection.judgments:
        query, passage = collection.queries[one.query_id].text, collection.passages[one.passage_id].text
        qrels.setdefault(query, {})[passage] = one.relevance
    return round(float(measure_queries(made_run(), qrels, ["nDCG@10"]).mean()), 3)


def files(folder: Path) -> None:
    """Files in which something is there twice, or a grade is missing: before is what was read."""
    columns, keys = "query,positive,positive\nwho,him,her\n", '{"query": "who", "positive": "him", "positive": "her"}\n'
    for name, text, before in (
        ("columns.csv", columns, next(csv.DictReader(io.StringIO(columns)))["positive"]),
        ("keys.jsonl", keys, json.loads(keys)["positive"]),
    ):
        (folder / name).write_text(text)
        row(f"{name}: positive twice, him and her", before, answer_of(lambda name=name: passages_of(folder / name)))
    twice = write_beir(folder / "twice", "q1\tp1\t1\n")
    corpus = (twice / "corpus.jsonl").read_bytes()
    (twice / "corpus.jsonl.gz").write_bytes(gzip.compress(corpus.splitlines(keepends=True)[0]))
    row("passages, corpus.jsonl (2) beside .gz (1)", 1, answer_of(lambda: len(passages_of(twice))))
    ungraded = "q1\tp1\t\nq1\tp2\t1\n"
    beir = write_beir(folder / "ungraded", ungraded)
    header = re.search(r"\d", ungraded.splitlines()[0].split("\t")[-1]) is None  # what was taken for one
    after = answer_of(lambda: len(load_collection(beir).judgments))
    row("judgments of 2, the first without its grade", 2 - header, after)


def passages_of(source: Path) -> list[str]:
    """Return the texts of the passages of a collection."""
    return [passage.text for passage in load_collection(source).passages.values()]


def write_beir(folder: Path, qrels: str) -> Path:
    """Write a BEIR folder of one query and two passages."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "p1", "text": "him"}\n{"_id": "p2", "text": "her"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "who"}\n')
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def checkpoints(folder: Path) -> None:
    """Values in a checkpoint's files: before is the length in tokens, the dimensions kept, and the prompt."""
    width, prompt = 128, {"a": "b"}
    for name, values, before in (
        (BERT, {"max_seq_length": 0}, 0),
        (ROOT, {"truncate_dim": -3}, len(np.zeros(width)[:-3])),
        (ROOT, {"prompts": {"query": prompt}}, str(prompt)),
    ):
        statement = answer_of(lambda name=name, values=values: load_edited(folder / "model", name, values))
        row(f"{', '.join(f'{key}: {value}' for key, value in values.items())}", before, statement)
    row("truncate_dim: -3 in the settings", len(np.zeros(width)[:-3]), answer_of(lambda: LoadSettings(truncate_dim=-3)))


def load_edited(folder: Path, name: str, values: Mapping[str, object]) -> str:
    """Load the demo's retriever with other values in one of its files."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shipped().retriever, folder)
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return load_retriever(folder).name


def ids() -> None:
    """A NUL in a passage id: trec_eval reads up to it, so that both passages become one."""
    qrels = {"q": {"a\0b": 1, "a\0c": 0}}
    run = {"q": [("a\0b", 2.0), ("a\0c", 1.0)]}
    found = float(measure_queries(run, qrels, ["nDCG@10"]).mean())
    now = answer_of(lambda: make_collection("x", [Passage("a\0b", "t")], [Query("q", "t")], [Judgment("q", "a\0b")]))
    row("nDCG@10 of a perfect ranking, NUL in ids", f"{found:.3f}", now)


def vectors() -> None:
    """Constant vectors: R@100 of 20 passages."""
    passages = [Passage(f"p{i}", f"t{i}") for i in range(20)]
    queries = [Query(f"q{i}", f"t{i}") for i in range(20)]
    collection = make_collection("x", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(20)])
    for name, value in (("constant", 1.0), ("all-zero", 0.0)):
        tower = [representations_in_memory([r.id for r in rows], np.full((20, 1, 4), value, dtype=np.float32))
                 for rows in (queries, passages)]  # fmt: skip
        ranked = retrieve(RetrieverRepresentations("x", tower[0], tower[1], "cosine", {}), collection, ["R@100"])
        row(f"R@100, {name} vectors", f"{ranked.scores.mean().item():.3f}", f"refused: {ranked.blind[:70]}")


def main() -> None:
    """Print the table."""
    row("what", "before", "after")
    grades()
    with tempfile.TemporaryDirectory() as folder:
        marks(Path(folder))
        files(Path(folder))
        checkpoints(Path(folder))
    ids()
    vectors()


if __name__ == "__main__":
    main()
