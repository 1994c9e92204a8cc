"""What used to come in by the door, what it did to the measures, and what is said of it now.

python benchmarks/audit/doors.py
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import ir_measures
import numpy as np

from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.readers.numbers import relevance_of
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import RetroscopeError
from retroscope.representations.store import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import measure_queries
from retroscope.retrieval.retrieve import retrieve

WIDTH = 46


def answer_of(attempt: Callable[[], object]) -> str:
    """The first line of an error, or what was accepted."""
    try:
        return f"accepted: {attempt()!r}"
    except RetroscopeError as error:
        return f"refused: {error.what.splitlines()[0]}"[:90]


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
        print(f"{f'grade {text}':<{WIDTH}}{before:>14}  {answer_of(lambda text=text: relevance_of(text, ''))}")
    print(f"{'nDCG@10 of a perfect ranking, grade 2^32':<{WIDTH}}{measured('nDCG@10', 2**32):>14.3f}  refused")
    print(f"{'nDCG@10 of a perfect ranking, grade 1000':<{WIDTH}}{measured('nDCG@10', 1000):>14.3f}  the same")


def marks(folder: Path) -> None:
    """MS MARCO: two passages, the first selected; the second's mark is what people write."""
    file = folder / "set.jsonl"
    for mark in ("0", -1, [0], 0, None, False):
        record = {"query": "who", "passages": {"passage_text": ["him", "her"], "is_selected": [1, mark]}}
        file.write_text(json.dumps(record) + "\n")
        statement = answer_of(lambda file=file: len(load_collection(file).judgments))
        print(f"{f'is_selected {mark!r}: relevant passages of 1':<{WIDTH}}{1 + bool(mark):>14}  {statement}")


def ids() -> None:
    """A NUL in a passage id: trec_eval reads up to it, so that both passages become one."""
    qrels = {"q": {"a\0b": 1, "a\0c": 0}}
    run = {"q": [("a\0b", 2.0), ("a\0c", 1.0)]}
    found = float(measure_queries(run, qrels, ["nDCG@10"]).mean())
    now = answer_of(lambda: make_collection("x", [Passage("a\0b", "t")], [Query("q", "t")], [Judgment("q", "a\0b")]))
    print(f"{'nDCG@10 of a perfect ranking, NUL in ids':<{WIDTH}}{found:>14.3f}  {now}")


def vectors() -> None:
    """Constant vectors: R@100 of 20 passages."""
    passages = [Passage(f"p{i}", f"t{i}") for i in range(20)]
    queries = [Query(f"q{i}", f"t{i}") for i in range(20)]
    collection = make_collection("x", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(20)])
    for name, value in (("constant", 1.0), ("all-zero", 0.0)):
        tower = [representations_in_memory([r.id for r in rows], np.full((20, 1, 4), value, dtype=np.float32))
                 for rows in (queries, passages)]  # fmt: skip
        ranked = retrieve(RetrieverRepresentations("x", tower[0], tower[1], "cosine", {}), collection, ["R@100"])
        print(f"{f'R@100, {name} vectors':<{WIDTH}}{ranked.scores.mean().item():>14.3f}  refused: {ranked.blind[:70]}")


def main() -> None:
    """Print the table."""
    print(f"{'what':<{WIDTH}}{'before':>14}  after")
    grades()
    with tempfile.TemporaryDirectory() as folder:
        marks(Path(folder))
    ids()
    vectors()


if __name__ == "__main__":
    main()
