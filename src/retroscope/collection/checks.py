"""Check the parts of a collection; each check lists every problem of its kind in one error."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from retroscope.collection.ids import holds_control, with_control
from retroscope.collection.passages import PassageTable, encodable
from retroscope.collection.records import LARGEST_GRADE, Candidates, Judgment, Passage, Query
from retroscope.errors import CollectionError, listed

WITHOUT_CONTROL = "remove the control characters from these ids in every file (corpus, queries, qrels)"


def refuse(problem: str, cases: Sequence[str], fix: str) -> None:
    """Raise one error that lists all cases of a problem, if there are any."""
    if cases:
        raise CollectionError(f"{problem}:{listed(cases)}", fix=fix)


def check_passages(passages: Iterable[Passage], empty: list[str]) -> Iterator[Passage]:
    """Yield the passages with a title or a text, and add the ids of the others to `empty`.

    Raises:
        CollectionError: after the last passage, if ids are missing or broken, or there are no passages.
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


def check_passages_distinct(table: PassageTable, empty: Sequence[str]) -> None:
    """Raise an error about the ids that several passages share, those of `empty` passages included."""
    seen = Counter(empty)
    repeated = [*table.repeated_ids(), *(i for i, n in seen.items() if n > 1 or i in table)]
    refuse("passage ids occur more than once", [repr(i) for i in dict.fromkeys(repeated)], "keep one passage per id")


def check_empty_passages(
    empty: Sequence[str], judgments: Iterable[Judgment], candidates: Iterable[Candidates]
) -> tuple[str, ...]:
    """Raise an error about the passages without title and text that a judgment or a candidate names; return a note
    that counts the others.
    """
    if not empty:
        return ()
    used = {j.passage_id for j in judgments} | {i for c in candidates for i in (c.positive, *c.negatives)}
    refuse(
        "passages without title or text",
        [repr(i) for i in empty if i in used],
        "remove these passages from the corpus and from the qrels",
    )
    return (f"{len(empty):,} passages have neither title nor text; no judgment names them, so they are left out",)


def check_queries(queries: Iterable[Query]) -> dict[str, Query]:
    """Return query id -> Query; every id must occur once, and every text must have content."""
    table: dict[str, Query] = {}
    nameless, empty, repeated, broken = [], [], [], []
    for q in queries:
        if not q.id:
            nameless.append(repr(q.text[:60]))
        if not q.text.strip():
            empty.append(repr(q.id))
        if not encodable(q.id + q.text):
            broken.append(repr(q.id))
        if q.id in table:
            repeated.append(repr(q.id))
        table[q.id] = q
    refuse("queries without an id", nameless, "give every query an id")
    refuse("queries without text", empty, "remove these queries from the query file and from the qrels")
    refuse("queries contain an incomplete character (a lone UTF-16 surrogate)", broken, "remove these characters")
    refuse("query ids contain control characters", with_control(table), WITHOUT_CONTROL)
    refuse("query ids occur more than once", repeated, "keep one query per id")
    return table


def check_judgments(judgments: Sequence[Judgment], queries: Container[str], passages: Container[str]) -> None:
    """Check the judgments: valid grades, known ids, one a pair, and at least one relevant."""
    refuse(
        f"relevance must be a whole number from {-LARGEST_GRADE} to {LARGEST_GRADE}",
        [f"query {j.query_id!r}, passage {j.passage_id!r}: {j.relevance!r}" for j in judgments if not _is_grade(j)],
        "use whole-number grades, e.g. 0, 1 and 2",
    )
    lost_queries = dict.fromkeys(repr(j.query_id) for j in judgments if j.query_id not in queries)
    lost_passages = dict.fromkeys(repr(j.passage_id) for j in judgments if j.passage_id not in passages)
    refuse("judgments of queries that do not exist", list(lost_queries), "add the queries, or remove these judgments")
    refuse(
        "judgments of passages that do not exist", list(lost_passages), "add the passages, or remove these judgments"
    )
    _check_judged_once(judgments)
    if not any(j.relevance > 0 for j in judgments):
        raise CollectionError("no query has a relevant passage", fix="give qrels with a relevance of 1 or more")


def _is_grade(judgment: Judgment) -> bool:
    """Return whether the measures compute correctly with this relevance."""
    grade: object = judgment.relevance
    return isinstance(grade, int) and not isinstance(grade, bool) and abs(grade) <= LARGEST_GRADE


def _check_judged_once(judgments: Sequence[Judgment]) -> None:
    seen: dict[tuple[str, str], int] = {}
    repeated: list[str] = []
    conflicting: list[str] = []
    for j in judgments:
        pair = (j.query_id, j.passage_id)
        if pair in seen:
            shown = f"query {j.query_id!r}, passage {j.passage_id!r}: {seen[pair]} and {j.relevance}"
            (repeated if seen[pair] == j.relevance else conflicting).append(shown)
        seen[pair] = j.relevance
    refuse("judgments contradict one another", conflicting, "keep one relevance for each query and passage")
    refuse("judgments are repeated", repeated, "keep one line for each query and passage")


def check_candidates(candidates: Sequence[Candidates], judgments: Iterable[Judgment], passages: Container[str]) -> None:
    """Check the candidates: one for each pair, with a relevant passage and known other passages."""
    relevant = {(j.query_id, j.passage_id) for j in judgments if j.relevance > 0}
    pairs = [(c.query_id, c.positive) for c in candidates]
    refuse(
        "candidates name passages that do not exist",
        list(dict.fromkeys(repr(i) for c in candidates for i in (c.positive, *c.negatives) if i not in passages)),
        "add the passages, or remove these candidates",
    )
    refuse(
        "candidates whose positive is not a relevant passage of their query",
        [_shown(c) for c, pair in zip(candidates, pairs, strict=True) if pair not in relevant],
        "add the judgment, or remove these candidates",
    )
    refuse(
        "candidates whose positive is among their negatives",
        [_shown(c) for c in candidates if c.positive in c.negatives],
        "remove the positive from the negatives",
    )
    refuse(
        "candidates that repeat a negative",
        [_shown(c) for c in candidates if len(set(c.negatives)) < len(c.negatives)],
        "list every negative once",
    )
    counts = Counter(pairs)
    refuse(
        "several candidates for one query and positive",
        [f"query {q!r}, positive {p!r}: {n}" for (q, p), n in counts.items() if n > 1],
        "join the negatives of each pair in one record",
    )


def _shown(c: Candidates) -> str:
    return f"query {c.query_id!r}, positive {c.positive!r}"
