"""Read TREC's files: qrels, runs and topics, each plain or gzipped."""

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from retroscope.collection.ids import check_id
from retroscope.collection.readers.numbers import relevance_of, score_of
from retroscope.collection.readers.rows import lines
from retroscope.collection.records import Judgment, Query
from retroscope.errors import CollectionError

ScoredPassages = list[tuple[str, float]]  # passage id and score, best first


# What the last column of a header is called, in lower case: BEIR, MTEB, ir_datasets, and what people write.
GRADE_COLUMNS = frozenset(
    {"score", "relevance", "rel", "grade", "label", "judgment", "judgement", "rating", "relevance_score", "qrel"}
)


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
            raise _line_error(path, number, f"{len(cells)} columns where qrels have 3 or 4", "qid 0 docid relevance")
        width = width or len(cells)
        if len(cells) != width:
            raise _line_error(
                path, number, f"{len(cells)} columns where the first line has {width}", "qid 0 docid relevance"
            )
        if number == 1 and is_qrels_header(cells):
            continue
        query, passage = _named(cells[0], "query", where), _named(cells[-2], "passage", where)
        judgments.append(Judgment(query, passage, _grade(cells[-1], where, first=number == 1)))
    return judgments


def _named(text: str, what: str, where: str) -> str:
    if not text:
        raise CollectionError(f"no {what} id in this line", where=where, fix="each line is: qid 0 docid relevance")
    return check_id(text, where)


def _grade(text: str, where: str, *, first: bool) -> int:
    try:
        return relevance_of(text, where)
    except CollectionError as error:
        if first:
            error.fix += f"; the last column of a header is called one of: {', '.join(sorted(GRADE_COLUMNS))}"
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
        if len(cells) not in (3, 6):
            raise _line_error(
                path, number, f"{len(cells)} columns where a run has 6 or 3", "qid Q0 docid rank score tag"
            )
        width = width or len(cells)
        if len(cells) != width:
            raise _line_error(
                path, number, f"{len(cells)} columns where the first line has {width}", "qid Q0 docid rank score tag"
            )
        query, passage, score = (cells[0], cells[2], cells[4]) if len(cells) == 6 else cells
        if passage in scores[query]:
            raise _line_error(path, number, f"passage {passage!r} is ranked twice for query {query!r}", "one line each")
        scores[query][passage] = score_of(score, f"{path}, line {number}")
    if width == 3 and all(_rises(list(r.values())) for r in scores.values()):
        scores = {q: {p: -rank for p, rank in r.items()} for q, r in scores.items()}
    return {q: sorted(r.items(), key=lambda item: (-item[1], item[0])) for q, r in scores.items()}


def _rises(values: list[float]) -> bool:
    return all(v.is_integer() for v in values) and all(a < b for a, b in pairwise(values))


def read_topics(path: Path, field: str = "title") -> list[Query]:
    """Read the queries of TREC's <top> blocks: `field` (title, desc or narr) is the text."""
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
    """Return the text without TREC's "Number:", "Topic:", "Description:" labels and line breaks."""
    return " ".join(re.sub(r"^\s*(Number|Topic|Description|Narrative):", "", text).split())


def _line_error(path: Path, number: int, what: str, form: str) -> CollectionError:
    return CollectionError(what, where=f"{path}, line {number}", fix=f"each line is: {form}")
