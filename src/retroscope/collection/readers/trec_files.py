"""The lines of TREC: qrels, runs and topics, each plain or gzipped."""

import math
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from retroscope.collection.readers.rows import lines
from retroscope.collection.records import Judgment, Query
from retroscope.errors import CollectionError

Ranking = list[tuple[str, float]]  # passage id and score, best first


def read_qrels(path: Path) -> list[Judgment]:
    """Judgments from `qid 0 docid rel` (TREC) or `qid docid rel` (BEIR, with or without its header)."""
    judgments = []
    for number, line in lines(path):
        cells = cells_of(line)
        if not cells or (number == 1 and is_qrels_header(cells)):
            continue
        if len(cells) not in (3, 4):
            raise _line_error(path, number, f"{len(cells)} columns where qrels have 3 or 4", "qid 0 docid relevance")
        judgments.append(Judgment(cells[0], cells[-2], relevance_of(cells[-1], f"{path}, line {number}")))
    return judgments


def cells_of(line: str) -> list[str]:
    """The cells of a line: between tabs if there are any (ids may hold spaces), else between spaces."""
    return [c.strip() for c in line.split("\t")] if "\t" in line else line.split()


def is_qrels_header(cells: list[str]) -> bool:
    """Whether a first line names columns: it has 3 or 4 cells and does not end in a number."""
    return len(cells) in (3, 4) and re.search(r"\d", cells[-1]) is None


def relevance_of(value: object, where: str) -> int:
    """A grade as a whole number; 1.0 is 1, 0.5 is an error."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise CollectionError(
            f"relevance must be a whole number, found {value!r}", where=where, fix="grade with 0, 1, 2"
        )
    return int(number)


def read_run(path: Path) -> dict[str, Ranking]:
    """Query id -> its ranking, from `qid Q0 docid rank score tag`, `qid docid score` or `qid docid rank`.

    Ordered by score, ties by id; the rank column of the first form is not read, as in trec_eval.
    A third column of whole numbers that rise down the file for every query is a rank (MS MARCO) and scores its
    negative: a file of scores falls.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    short = False
    for number, line in lines(path):
        cells = cells_of(line)
        if not cells:
            continue
        if len(cells) not in (3, 6):
            raise _line_error(
                path, number, f"{len(cells)} columns where a run has 6 or 3", "qid Q0 docid rank score tag"
            )
        query, passage, score = (cells[0], cells[2], cells[4]) if len(cells) == 6 else cells
        short = short or len(cells) == 3
        if passage in found[query]:
            raise _line_error(path, number, f"passage {passage!r} is ranked twice for query {query!r}", "one line each")
        found[query][passage] = _score(score, path, number)
    if short and all(_rises(list(r.values())) for r in found.values()):
        found = {q: {p: -rank for p, rank in r.items()} for q, r in found.items()}
    return {q: sorted(r.items(), key=lambda item: (-item[1], item[0])) for q, r in found.items()}


def _rises(values: list[float]) -> bool:
    return all(v.is_integer() for v in values) and all(a < b for a, b in pairwise(values))


def _score(text: str, path: Path, number: int) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if math.isnan(score):
        raise _line_error(path, number, f"the score must be a number, found {text!r}", "qid Q0 docid rank score tag")
    return score


def read_topics(path: Path, field: str = "title") -> list[Query]:
    """Queries from TREC's <top> blocks: `field` (title, desc or narr) is the text."""
    text = "".join(line for _, line in lines(path))
    queries = []
    for block in re.findall(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", text, flags=re.DOTALL | re.IGNORECASE):
        pieces = re.split(r"<(/?\w+)>", block)
        fields = {tag.lower(): body for tag, body in zip(pieces[1::2], pieces[2::2], strict=True)}
        if "num" not in fields or field not in fields:
            raise CollectionError(
                f"a topic without <num> or <{field}>: {block.strip()[:80]!r}",
                where=str(path),
                fix="give both, or name the field: columns={'query_text': 'desc'}",
            )
        queries.append(Query(_plain(fields["num"]), _plain(fields[field])))
    return queries


def _plain(text: str) -> str:
    """The text without TREC's "Number:", "Topic:", "Description:" labels and line breaks."""
    return " ".join(re.sub(r"^\s*(Number|Topic|Description|Narrative):", "", text).split())


def _line_error(path: Path, number: int, what: str, form: str) -> CollectionError:
    return CollectionError(what, where=f"{path}, line {number}", fix=f"each line is: {form}")
