"""Hard negatives: passages that rank high for a query and are not judged relevant to it.

They come from BM25 (Robertson et al. 1995, in Lucene's variant, through bm25s), from a run file, or from the source of
the collection. A passage that nobody judged may still be relevant. So two kinds of ranked passages are not used as
negatives: those that contain an answer of the query, as in DPR (Karpukhin et al. 2020), and those that are relevant to
another query with the same text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from retroscope.collection.bm25 import BM25_RECIPE, bm25_ranking
from retroscope.collection.collection import Collection
from retroscope.collection.readers.trec_files import read_run
from retroscope.collection.records import Candidates, NegativesRecipe, Run, folded
from retroscope.collection.screen import LeftOut, Screen, relevant_by_text
from retroscope.display import Shown, shown
from retroscope.errors import CollectionError, SettingsError, listed, unknown_name
from retroscope.files.reading import PathLike, path_of
from retroscope.progress import listens

GIVEN = "given"  # the source's own negatives: nothing but judgments can exclude them

Ranker = Callable[[str, str, int], Sequence[str]]  # query id, positive, depth -> passage ids, hardest first


@dataclass(frozen=True)
class MinedNegatives:
    """Hard negatives of every judged (query, relevant passage) pair, in the collection's order.

    Attributes:
        candidates: one entry for each pair. It has fewer than `n` negatives (possibly none) if there are no more.
        how: source of the negatives: "bm25", "given" or "run".
        short: number of pairs with fewer than `n` negatives.
        left_out: number of ranked passages that were skipped because they may be relevant.
        recipe: how the negatives were found, as JSON-like values.
        rows: `Collection.rows` if the negatives are the source's own, else empty.
    """

    candidates: tuple[Candidates, ...]
    how: str
    short: int
    left_out: LeftOut
    recipe: NegativesRecipe = field(default_factory=lambda: NegativesRecipe())
    rows: tuple[Candidates, ...] = ()


def hard_negatives(
    collection: Collection,
    n: int,
    *,
    how: str = "bm25",
    run: Run | PathLike | None = None,
    pool: int = 100,
    progress: Shown = None,
) -> MinedNegatives:
    """Find up to `n` hard negatives for every pair of a query and a relevant passage, hardest first.

    Of passages with equal scores, the greater id comes first. A negative is never a relevant passage of that query, nor
    one whose full text is the same (`folded`), nor, where the collection ignores identical ids, the query's own
    passage. From a ranking (not from the source's own negatives), passages that contain an answer or are relevant to a
    query with the same text are skipped, too. They are counted, and more of the ranking is read to replace them.

    Args:
        n: number of negatives for each pair. Use 50 or more if a later split into training and test data removes some.
        how: a name in `RANKINGS`.
        run: for how="run": a ranking for each query, or the path of a run file.
        pool: how many ranked passages are read in addition to the relevant ones; at least `n`.
        progress: called with (what, done, total), or True, False, None: see `display.shown`.

    Raises:
        SettingsError: if `n` or `how` is not possible, or `run` is missing or superfluous.
        CollectionError: if the source gave no negatives, or the run ranks unknown passages.
    """
    if n < 1:
        raise SettingsError(
            f"n must be at least 1, got {n}", fix="give the number of negatives for each pair, e.g. n=50"
        )
    if how not in RANKINGS:
        raise unknown_name("way to find hard negatives", how, RANKINGS)
    if (run is not None) != (how == "run"):
        raise SettingsError(
            f"how={how!r} {'needs a run, but run is None' if run is None else 'uses no run, but a run was given'}",
            fix="give how='run' and run=FILE together (--set negatives.how=run --set negatives.run=FILE), or leave out "
            "both",
        )
    screen = None if how == GIVEN else Screen(collection, relevant_by_text(collection))
    with shown(progress):
        ranking, recipe = RANKINGS[how](collection, run if run is None or isinstance(run, Mapping) else path_of(run))
        candidates = tuple(_mine(collection, ranking, n, max(pool, n), screen))
    short = sum(len(c.negatives) < n for c in candidates)
    left_out = LeftOut() if screen is None else screen.left_out()
    found_by: NegativesRecipe = {"how": how, "n": n, "pool": max(pool, n), **recipe}
    return MinedNegatives(candidates, how, short, left_out, found_by, collection.rows if how == GIVEN else ())


def _mine(collection: Collection, ranking: Ranker, n: int, pool: int, screen: Screen | None) -> Iterator[Candidates]:
    text_of, report, queries = _remembered_texts(collection), listens(), collection.judged_queries
    for number, query in enumerate(queries, start=1):
        relevant = [p for p, grade in collection.qrels[query].items() if grade > 0]
        refused = {*relevant, *([query] if collection.ignore_identical_ids else [])}
        refused_texts = {text_of(p) for p in relevant}
        stays = screen.for_query(query) if screen else lambda passage: True
        depth = pool + len(refused) + (screen.room(query) if screen else 0)
        for positive in relevant:
            ranked = ranking(query, positive, depth)
            unjudged = (p for p in ranked if p not in refused and text_of(p) not in refused_texts)
            allowed = (p for p in dict.fromkeys(unjudged) if stays(p))
            yield Candidates(query, positive, tuple(islice(allowed, n)))
        if report:
            report(f"hard negatives of {collection.name}", number, len(queries))


def _remembered_texts(collection: Collection) -> Callable[[str], int]:
    """Return a function that maps a passage id to the hash of its full text. Each hash is computed once."""
    known: dict[str, int] = {}

    def text_of(passage_id: str) -> int:
        if passage_id not in known:
            known[passage_id] = hash(folded(collection.passage_text(passage_id)))
        return known[passage_id]

    return text_of


def _bm25(collection: Collection, run: Run | Path | None) -> tuple[Ranker, NegativesRecipe]:
    ranking = bm25_ranking(collection)
    return (lambda query, _, depth: ranking(query, depth)), BM25_RECIPE


def _given(collection: Collection, run: Run | Path | None) -> tuple[Ranker, NegativesRecipe]:
    if not collection.candidates:
        raise CollectionError(
            "the collection has no hard negatives of its own, which how='given' needs",
            where=collection.name,
            fix="mine hard negatives: how='bm25' (e.g. --set negatives.how=bm25), or how='run' with run=FILE",
        )
    negatives_of = {(c.query_id, c.positive): c.negatives for c in collection.candidates}
    return (lambda query, positive, depth: negatives_of.get((query, positive), ())), {"source": collection.source}


def _from_run(collection: Collection, run: Run | Path | None) -> tuple[Ranker, NegativesRecipe]:
    ranking_of = read_run(run) if isinstance(run, Path) else (run or {})
    rankings = {query: ranking_of.get(query, ()) for query in collection.judged_queries}
    unknown = dict.fromkeys(repr(p) for ranked in rankings.values() for p, _ in ranked if p not in collection.passages)
    if unknown:
        raise CollectionError(
            f"the run ranks passages that are not in the collection:{listed(list(unknown))}",
            where=str(run) if isinstance(run, Path) else "run",
            fix="give a run file over this corpus",
        )
    ordered = {
        query: sorted(ranked, key=lambda item: (item[1], item[0]), reverse=True) for query, ranked in rankings.items()
    }
    ranking = partial(_top, {query: [p for p, _ in ranked] for query, ranked in ordered.items()})
    return ranking, {"run": str(run) if isinstance(run, Path) else "given in memory"}


def _top(ranked: Mapping[str, Sequence[str]], query: str, _: str, depth: int) -> Sequence[str]:
    return ranked[query][:depth]


RANKINGS: dict[str, Callable[[Collection, Run | Path | None], tuple[Ranker, NegativesRecipe]]] = {
    "bm25": _bm25,
    GIVEN: _given,
    "run": _from_run,
}
