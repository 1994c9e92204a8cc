"""Read TREC's files: qrels, runs, topics, and texts by id, plain or gzipped."""

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from retroscope.collection.ids import check_id
from retroscope.collection.places import RecordPlace
from retroscope.collection.readers.numbers import relevance_of, score_of
from retroscope.collection.readers.rows import Row, lines
from retroscope.collection.records import Judgment
from retroscope.errors import CollectionError, excerpt

ScoredPassages = list[tuple[str, float]]  # passage id and score, best first


# What the last column of a header is called, in lower case: BEIR, MTEB, ir_datasets, and what people write.
GRADE_COLUMNS = frozenset(
    {"score", "relevance", "rel", "grade", "label", "judgment", "judgement", "rating", "relevance_score", "qrel"}
)
# What the columns of ids are called, in lower case.
QUERY_IDS = ("query-id", "query_id", "qid")
PASSAGE_IDS = ("corpus-id", "corpus_id", "doc_id", "docid", "passage_id", "pid")
TEXT_IDS = frozenset({"_id", "id", "document_id", "docno", "topic_id", "number", *QUERY_IDS, *PASSAGE_IDS})

TREC_LINE = "write each line as: qid 0 docid relevance"
BEIR_LINE = "write each line as query-id<TAB>corpus-id<TAB>score, e.g. q1<TAB>p7<TAB>1"
RUN_LINE = "write each line as: qid Q0 docid rank score tag"


def qrels_lines(path: Path, form: str = TREC_LINE) -> Iterator[tuple[Judgment, RecordPlace]]:
    """Yield the judgment and the location of each line of a qrels file.

    A line is `qid 0 docid rel` (TREC) or `qid docid rel` (BEIR). The first line is a header if its last column has one
    of the names `GRADE_COLUMNS`.

    Args:
        form: description of a correct line, for errors.

    Raises:
        CollectionError: with file and line, if a line has more or fewer columns than the first, an empty id, or a
            grade that is not a whole number.
    """
    width = 0
    for number, line in lines(path):
        cells = line_cells(line)
        if not cells:
            continue
        place = RecordPlace(str(path), f"line {number}")
        where = str(place)
        if len(cells) not in (3, 4):
            raise _other_columns(cells, place, form)
        width = width or len(cells)
        if len(cells) != width:
            raise CollectionError(
                f"this line has {len(cells)} columns, but the first line has {width}", where=where, fix=form
            )
        if number == 1 and is_qrels_header(cells):
            _check_order(cells, where, form)
            continue
        for cell, what in ((cells[0], "query"), (cells[-2], "passage")):
            if not cell:
                raise CollectionError(f"this line has no {what} id", where=where, fix=form)
            check_id(cell, where)
        yield Judgment(cells[0], cells[-2], _grade(cells[-1], where, first=number == 1)), place


def _other_columns(cells: list[str], place: RecordPlace, form: str) -> CollectionError:
    """Return the error for a line with neither 3 nor 4 columns, with the probable cause, e.g. commas or no grade."""
    line = " ".join(cells)
    if 1 + line.count(",") in (3, 4):
        return CollectionError(
            f"the columns of this line are separated by commas: {excerpt(line)}", where=str(place), fix=form
        )
    if len(cells) == 2:
        return CollectionError(
            f"this line has 2 columns, but qrels have 3 or 4: the grade is missing after {excerpt(cells[1])}",
            where=str(place),
            fix=f"{form}; if every pair is relevant, add 1 as the last column",
        )
    return CollectionError(f"this line has {len(cells)} columns, but qrels have 3 or 4", where=str(place), fix=form)


def _check_order(header: list[str], where: str, form: str) -> None:
    """Refuse a header that names the passage ids before the query ids.

    Both may be numbers, so that exchanged columns would not be noticed.
    """
    first, second = header[0].casefold(), header[-2].casefold()
    if first in PASSAGE_IDS or second in QUERY_IDS:
        raise CollectionError(
            f"the header names {excerpt(header[0])} before {excerpt(header[-2])}, but query ids must come first",
            where=where,
            fix=f"exchange the two columns; {form}",
        )


def _grade(text: str, where: str, *, first: bool) -> int:
    try:
        return relevance_of(text, where)
    except CollectionError as error:
        if first:
            error.fix += f"; if this line is a header, call its last column one of: {', '.join(sorted(GRADE_COLUMNS))}"
        raise


def line_cells(line: str) -> list[str]:
    """Split a line into cells: at tabs if there are any (ids may contain spaces), else at ASCII spaces."""
    return [c.strip(" \r\n") for c in line.split("\t")] if "\t" in line else re.findall(r"[^ \r\n\f\v]+", line)


def is_qrels_header(cells: list[str]) -> bool:
    """Return whether the cells of a first line are column names: 3 or 4 cells, the last in `GRADE_COLUMNS`."""
    return len(cells) in (3, 4) and is_grade_column(cells[-1])


def is_grade_column(name: str) -> bool:
    """Return whether a column of this name holds grades: one of `GRADE_COLUMNS`, in any case, with - or _."""
    return name.casefold().replace("-", "_") in GRADE_COLUMNS


def read_run(path: Path) -> dict[str, ScoredPassages]:
    """Read a run file: map each query id to its ranked passages with their scores.

    Lines are `qid Q0 docid rank score tag`, `qid docid score` or `qid docid rank`.

    Passages are ordered by score, and ties by id. The rank column of the first form is not read, as in trec_eval. In
    lines of three columns, the third is a rank (MS MARCO) if it has whole numbers that rise for every query: scores
    would fall. The score is then the negative rank.
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


def read_topics(path: Path, element: str | None = None) -> Iterator[Row]:
    """Yield a row (`qid`, and the query as `text`) for each <top> block of a TREC topics file.

    Args:
        element: element with the query: title, desc or narr, by default title. If given, the column is named after it.
    """
    field = element or "title"
    text = "".join(line for _, line in lines(path))
    for match in re.finditer(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", text, flags=re.DOTALL | re.IGNORECASE):
        line = 1 + text.count("\n", 0, match.start())
        pieces = re.split(r"<(/?\w+)>", match[1])
        tags = [tag.lower() for tag in pieces[1::2]]
        fields = dict(zip(tags, pieces[2::2], strict=True))
        repeated = [f"<{name}>" for name in ("num", field) if tags.count(name) > 1]
        if repeated:
            raise CollectionError(
                f"this topic has more than one {' and '.join(repeated)}: {excerpt(match[1].strip())}",
                where=f"{path}, line {line}",
                fix="keep one of each in a topic, and close every topic with </top>",
            )
        absent = [f"<{name}>" for name in ("num", field) if name not in fields]
        if absent:
            raise CollectionError(
                f"this topic has no {' and no '.join(absent)}: {excerpt(match[1].strip())}",
                where=f"{path}, line {line}",
                fix="add the missing element; to read the query from another element, e.g. <desc>: "
                "--set data.columns='{query_text: desc}' (in Python: columns={'query_text': 'desc'})",
            )
        _refuse_inner_tags(tags, field, f"{path}, line {line}")
        yield Row({"qid": _plain(fields["num"]), element or "text": _plain(fields[field])}, str(path), line)


def _refuse_inner_tags(tags: list[str], field: str, where: str) -> None:
    """Refuse a tag between <field> and </field>. The query would end at this tag."""
    start = tags.index(field) + 1
    inner = tags[start : tags.index(f"/{field}", start)] if f"/{field}" in tags[start:] else []
    if inner:
        raise CollectionError(
            f"the <{field}> of this topic contains a tag: {excerpt(inner[0])}",
            where=where,
            fix=f"write the query between <{field}> and </{field}> without tags",
        )


def _plain(text: str) -> str:
    """Return the text without TREC's labels ("Number:", "Topic:", "Description:") and line breaks."""
    return " ".join(re.sub(r"^\s*(Number|Topic|Description|Narrative):", "", text).split())


def read_pairs(file: Path, first: str, second: str, otherwise: str = "") -> Iterator[Row]:
    """Yield a row with the columns `first` and `second` for each line `id<TAB>text` of a file without a header.

    Args:
        otherwise: description of another correct form of a line, for the error message.

    Raises:
        CollectionError: with file and line, for a line that has more or fewer cells than two.
    """
    begun = False
    for number, line in lines(file):
        if not line.strip():
            continue
        key, *texts = line.rstrip("\r\n").split("\t")
        if not begun:
            _refuse_header(key, texts, f"{file}, line {number}")
        begun = True
        if len(texts) != 1:
            raise CollectionError(
                f"this line has {len(texts)} tabs, expected 1",
                where=f"{file}, line {number}",
                fix=f"write each line as {first}<TAB>{second}{otherwise}; for more columns, give a .tsv file with a "
                "header",
            )
        yield Row({first: key.strip(" "), second: texts[0]}, str(file), number)


def _refuse_header(key: str, texts: list[str], where: str) -> None:
    """Refuse a first line of column names. It would be read as a record, e.g. with the id "id"."""
    if key.strip().casefold() in TEXT_IDS:
        raise CollectionError(
            f"this line names columns ({', '.join(map(excerpt, (key, *texts)))}), but a file of this format has no "
            "header",
            where=where,
            fix="remove this line; or name the file .tsv and the columns docid and text (of topics: qid and text)",
        )


def read_texts(file: Path) -> Iterator[Row]:
    """Yield a row for each line of a corpus, `docid<TAB>text` or `docid<TAB>url<TAB>title<TAB>body`.

    The second form (documents of MS MARCO) is recognised by the web address in the second of four cells. The web
    address is not kept.

    Raises:
        CollectionError: with file and line, for a line that has neither form.
    """
    first = next((line.split("\t") for _, line in lines(file) if line.strip()), [])
    if len(first) != 4 or not re.match("https?://", first[1]):
        yield from read_pairs(file, "docid", "text", " or docid<TAB>url<TAB>title<TAB>body (MS MARCO documents)")
        return
    for number, line in lines(file):
        if not line.strip():
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 4:
            raise CollectionError(
                f"this line has {len(cells) - 1} tabs, but the first line has 3",
                where=f"{file}, line {number}",
                fix="write each line as docid<TAB>url<TAB>title<TAB>body",
            )
        yield Row({"docid": cells[0].strip(" "), "title": cells[2], "text": cells[3]}, str(file), number)
