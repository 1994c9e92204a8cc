"""Check passages, queries, judgments and candidates. One error reports all problems of one kind."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from retroscope.collection.ids import holds_control, with_control
from retroscope.collection.passages import PassageTable, encodable
from retroscope.collection.places import Places, located
from retroscope.collection.records import LARGEST_GRADE, Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, listed

WITHOUT_CONTROL = "remove the control characters from these ids in every file (corpus, queries, qrels)"

WITHOUT_SPACES = "remove the spaces around these ids, or give each its own id: qrels are read without such spaces"


def refuse(problem: str, cases: Sequence[str], fix: str) -> None:
    """Raise a CollectionError that lists all `cases` of a problem. If there is no case, do nothing."""
    if cases:
        raise CollectionError(f"{problem}:{listed(cases)}", fix=fix)


def check_passages(passages: Iterable[Passage], empty: list[str]) -> Iterator[Passage]:
    """Yield the passages with a title or a text, and add the ids of the other passages to `empty`.

    Raises:
        CollectionError: after the last passage, if an id is missing or has a control character, or there is no passage.
    """
    nameless, broken, total = [], [], 0
    for total, p in enumerate(passages, 1):
        if not p.id:
            nameless.append(f"passage {total}: {p.text[:60]!r}")
        if holds_control(p.id):
            broken.append(repr(p.id))
        if p.text.strip() or p.title.strip():
            yield p
        else:
            empty.append(p.id)
    refuse("passages without an id", nameless, "give every passage an id")
    refuse("passage ids contain control characters", broken, WITHOUT_CONTROL)
    if not total:
        raise CollectionError("there are no passages", fix="give a corpus with at least one passage")


def check_passages_distinct(table: PassageTable, empty: Sequence[str], places: Places) -> None:
    """Raise a CollectionError if passages have the same id. `empty` has the ids of passages left out of `table`."""
    seen = Counter(empty)
    repeated = [*table.repeated_ids(), *(i for i, n in seen.items() if n > 1 or i in table)]
    cases = located([*dict.fromkeys(repeated)], places.passages)
    refuse("passage ids occur more than once", cases, "keep one passage per id")
    refuse("passage ids differ only by spaces around them", _alike(table), WITHOUT_SPACES)


def _alike(ids: Mapping[str, object]) -> list[str]:
    """Return the `repr` of each id that begins or ends with a space and without spaces is another id."""
    return [repr(i) for i in ids if i != i.strip(" ") and i.strip(" ") in ids]


def check_empty_passages(
    empty: Sequence[str], judgments: Iterable[Judgment], candidates: Iterable[Candidates], places: Places
) -> tuple[str, ...]:
    """Raise a CollectionError if a judgment or probe example names a passage without title and text.

    Otherwise, return a note that counts these passages, or () if there are none.

    Args:
        empty: ids of the passages without title and text.
    """
    if not empty:
        return ()
    used = {j.passage_id for j in judgments} | {i for c in candidates for i in (c.positive, *c.negatives)}
    refuse(
        "passages without title or text",
        located([i for i in empty if i in used], places.passages),
        "remove these passages from the corpus and from the qrels",
    )
    return (f"{len(empty):,} passages have neither title nor text; no judgment names them, so they are left out",)


def check_queries(queries: Iterable[Query], places: Places) -> dict[str, Query]:
    """Check that every query has a text and an id of its own. Return the queries by id."""
    table: dict[str, Query] = {}
    nameless, empty, repeated, broken = [], [], [], []
    for q in queries:
        if not q.id:
            nameless.append(repr(q.text[:60]))
        if not q.text.strip():
            empty.append(q.id)
        if not encodable(q.id + q.text):
            broken.append(repr(q.id))
        if q.id in table:
            repeated.append(q.id)
        table[q.id] = q
    refuse("queries without an id", nameless, "give every query an id")
    fix = "remove these queries from the query file and from the qrels"
    refuse("queries without text", located(empty, places.queries), fix)
    refuse("queries contain an incomplete character (a lone UTF-16 surrogate)", broken, "remove these characters")
    refuse("query ids contain control characters", with_control(table), WITHOUT_CONTROL)
    cases = located([*dict.fromkeys(repeated)], places.queries)
    refuse("query ids occur more than once", cases, "keep one query per id")
    return table


def check_judgments(
    judgments: Sequence[Judgment], queries: Container[str], passages: Container[str], places: Places
) -> None:
    """Check that grades are valid, ids exist, no pair is judged twice, and at least one passage is relevant."""
    refuse(
        f"relevance must be a whole number from {-LARGEST_GRADE} to {LARGEST_GRADE}",
        [f"query {j.query_id!r}, passage {j.passage_id!r}: {j.relevance!r}" for j in judgments if not _is_grade(j)],
        "use whole-number grades, e.g. 0, 1 and 2",
    )
    refuse(
        "judgments of queries that do not exist",
        located(_of_unknown(judgments, 0, queries), places.judgments, lambda pair: repr(pair[0])),
        "add the queries, or remove these judgments",
    )
    refuse(
        "judgments of passages that do not exist",
        located(_of_unknown(judgments, 1, passages), places.judgments, lambda pair: repr(pair[1])),
        "add the passages, or remove these judgments",
    )
    _check_judged_once(judgments, places)
    if not any(j.relevance > 0 for j in judgments):
        raise CollectionError("no query has a relevant passage", fix="give qrels with a relevance of 1 or more")


def _of_unknown(judgments: Iterable[Judgment], which: int, known: Container[str]) -> list[tuple[str, str]]:
    """Return one judged (query, passage) pair for each query (`which` 0) or passage (`which` 1) not in `known`."""
    first: dict[str, tuple[str, str]] = {}
    for pair in map(_pair, judgments):
        if pair[which] not in known:
            first.setdefault(pair[which], pair)
    return [*first.values()]


def _pair(judgment: Judgment) -> tuple[str, str]:
    return judgment.query_id, judgment.passage_id


def _is_grade(judgment: Judgment) -> bool:
    grade: object = judgment.relevance
    return isinstance(grade, int) and not isinstance(grade, bool) and abs(grade) <= LARGEST_GRADE


def _check_judged_once(judgments: Sequence[Judgment], places: Places) -> None:
    repeated = [pair for pair, count in Counter(map(_pair, judgments)).items() if count > 1]
    grades: dict[tuple[str, str], list[int]] = {pair: [] for pair in repeated}
    for j in judgments if repeated else ():
        if _pair(j) in grades:
            grades[_pair(j)].append(j.relevance)

    def shown(pair: tuple[str, str]) -> str:
        return f"query {pair[0]!r}, passage {pair[1]!r}, graded {' and '.join(map(str, grades[pair]))}"

    conflicting = [pair for pair, values in grades.items() if len({*values}) > 1]
    fix = "keep one relevance for each query and passage"
    refuse("judgments contradict one another", located(conflicting, places.judgments, shown), fix)
    fix = "keep one line for each query and passage"
    refuse("judgments are repeated", located(repeated, places.judgments, shown), fix)


def check_candidates(candidates: Sequence[Candidates], judgments: Iterable[Judgment], passages: Container[str]) -> None:
    """Raise a CollectionError if a probe example (query, positive, negatives) is invalid.

    Its positive must be judged relevant. Its negatives must exist, be distinct and not contain the positive. No other
    probe example may have the same query and positive.
    """
    relevant = {(j.query_id, j.passage_id) for j in judgments if j.relevance > 0}
    pairs = [(c.query_id, c.positive) for c in candidates]
    refuse(
        "probe examples (query, positive, negatives) name passages that do not exist",
        list(dict.fromkeys(repr(i) for c in candidates for i in (c.positive, *c.negatives) if i not in passages)),
        "add the passages, or remove these probe examples",
    )
    refuse(
        "probe examples whose positive is not judged relevant to their query",
        [_shown(c) for c, pair in zip(candidates, pairs, strict=True) if pair not in relevant],
        "add the judgment, or remove these probe examples",
    )
    refuse(
        "probe examples whose positive is also one of their negatives",
        [_shown(c) for c in candidates if c.positive in c.negatives],
        "remove the positive from the negatives",
    )
    refuse(
        "probe examples that list a negative twice",
        [_shown(c) for c in candidates if len(set(c.negatives)) < len(c.negatives)],
        "list every negative once",
    )
    counts = Counter(pairs)
    refuse(
        "several probe examples (lists of negatives) for one query and positive",
        [f"query {q!r}, positive {p!r}: {n}" for (q, p), n in counts.items() if n > 1],
        "join the negatives of each pair in one record",
    )


def _shown(c: Candidates) -> str:
    return f"query {c.query_id!r}, positive {c.positive!r}"
