"""Read TREC's files: qrels, runs and topics, each plain or gzipped."""

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from retroscope.collection.ids import check_id
from retroscope.collection.readers.numbers import relevance_of, score_of
from retroscope.collection.readers.rows import lines
from retroscope.collection.records import Judgment, Query
from retroscope.errors import CollectionError, excerpt

ScoredPassages = list[tuple[str, float]]  # passage id and score, best first


# What the last column of a header is called, in lower case: BEIR, MTEB, ir_datasets, and what people write.
GRADE_COLUMNS = frozenset(
    {"score", "relevance", "rel", "grade", "label", "judgment", "judgement", "rating", "relevance_score", "qrel"}
)

QRELS_LINE = "write each line as: qid 0 docid relevance"
RUN_LINE = "write each line as: qid Q0 docid rank score tag"


def read_qrels(path: Path) -> list[Judgment]:
    """Read judgments from `qid 0 docid rel` (TREC) or `qid docid rel` (BEIR, with or without its header).

    Raises:
        CollectionError: with file and line, where a line has another number of columns than the first, an empty id,
            or no whole number for a grade; a first line is a header only where its last column is called as one of
            `GRADE_COLUMNS`.
    """
    judgments = []
    width = 0
    for number, line in lines(path):
        cells = line_cells(line)
        if not cells:
            continue
        where = f"{path}, line {number}"
        if len(cells) not in (3, 4):
            raise CollectionError(
                f"this line has {len(cells)} columns, but qrels have 3 or 4", where=where, fix=QRELS_LINE
            )
        width = width or len(cells)
        if len(cells) != width:
            raise CollectionError(
                f"this line has {len(cells)} columns, but the first line has {width}", where=where, fix=QRELS_LINE
            )
        if number == 1 and is_qrels_header(cells):
            continue
        query, passage = _named(cells[0], "query", where), _named(cells[-2], "passage", where)
        judgments.append(Judgment(query, passage, _grade(cells[-1], where, first=number == 1)))
    return judgments


def _named(text: str, what: str, where: str) -> str:
    if not text:
        raise CollectionError(f"this line has no {what} id", where=where, fix=QRELS_LINE)
    return check_id(text, where)


def _grade(text: str, where: str, *, first: bool) -> int:
    try:
        return relevance_of(text, where)
    except CollectionError as error:
        if first:
            error.fix += f"; if this line is a header, call its last column one of: {', '.join(sorted(GRADE_COLUMNS))}"
        raise


def line_cells(line: str) -> list[str]:
    """Split a line into cells: between tabs if there are any (ids may contain spaces), else between spaces."""
    return [c.strip(" \r\n") for c in line.split("\t")] if "\t" in line else line.split()


def is_qrels_header(cells: list[str]) -> bool:
    """Return whether the cells of a first line are column names: 3 or 4 cells, the last in `GRADE_COLUMNS`."""
    return len(cells) in (3, 4) and cells[-1].casefold().replace("-", "_") in GRADE_COLUMNS


def read_run(path: Path) -> dict[str, ScoredPassages]:
    """Read query id -> its ranking, from `qid Q0 docid rank score tag`, `qid docid score` or `qid docid rank`.

    Ordered by score, ties by id; the rank column of the first form is not read, as in trec_eval.
    A third column of whole numbers that rise down the file for every query is a rank (MS MARCO) and scores its
    negative: a file of scores falls.
    """
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    width = 0
    for number, line in lines(path):
        cells = line_cells(line)
        if not cells:
            continue
        where = f"{path}, line {number}"
        if len(cells) not in (3, 6):
            raise CollectionError(
                f"this line has {len(cells)} columns, but a run has 6 or 3", where=where, fix=RUN_LINE
            )
        width = width or len(cells)
        if len(cells) != width:
            raise CollectionError(
                f"this line has {len(cells)} columns, but the first line has {width}", where=where, fix=RUN_LINE
            )
        query, passage, score = (cells[0], cells[2], cells[4]) if len(cells) == 6 else cells
        if passage in scores[query]:
            raise CollectionError(
                f"passage {passage!r} is ranked twice for query {query!r}",
                where=where,
                fix="keep one line for each query and passage",
            )
        scores[query][passage] = score_of(score, where)
    if width == 3 and all(_rises(list(r.values())) for r in scores.values()):
        scores = {q: {p: -rank for p, rank in r.items()} for q, r in scores.items()}
    return {q: sorted(r.items(), key=lambda item: (item[1], item[0]), reverse=True) for q, r in scores.items()}


def _rises(values: list[float]) -> bool:
    return all(v.is_integer() for v in values) and all(a < b for a, b in pairwise(values))


def read_topics(path: Path, field: str = "title") -> list[Query]:
    """Read the queries of TREC's <top> blocks: `field` (title, desc or narr) is the text."""
    text = "".join(line for _, line in lines(path))
    queries = []
    for block in re.findall(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", text, flags=re.DOTALL | re.IGNORECASE):
        pieces = re.split(r"<(/?\w+)>", block)
        fields = {tag.lower(): body for tag, body in zip(pieces[1::2], pieces[2::2], strict=True)}
        absent = [f"<{name}>" for name in ("num", field) if name not in fields]
        if absent:
            raise CollectionError(
                f"this topic has no {' and no '.join(absent)}: {excerpt(block.strip())}",
                where=str(path),
                fix="add the missing element; to read the query from another element, e.g. <desc>: "
                "--set data.columns='{query_text: desc}' (in Python: columns={'query_text': 'desc'})",
            )
        queries.append(Query(_plain(fields["num"]), _plain(fields[field])))
    return queries


def _plain(text: str) -> str:
    """Return the text without TREC's "Number:", "Topic:", "Description:" labels and line breaks."""
    return " ".join(re.sub(r"^\s*(Number|Topic|Description|Narrative):", "", text).split())
