"""Which passages must a sample hold? Half-widths and bias of transplant effects, by the sample's size and make.

    python benchmarks/pools.py --before BACKBONE --after RETRIEVER --data SPEC --cache DIR [--pooling mean]

A few hybrids encode the whole corpus once (kept in DIR); every sample is then a choice among their vectors. A sample
(`inputs.sampled`) has all judged passages of its queries, and for each of them `hard` passages that compete, from the
rankings of both intact models and of BM25. A row is a number of queries and a `hard`, averaged over seeds and hybrids:

    width       half-width of the paired 95 % interval of an effect, against the most competitors, with the same queries
    relative    the same, in parts of the effect of all weights: a sample with few competitors can have small effects,
                and small widths with them, so that a narrow interval alone is no gain
    effect      of all weights, against the whole corpus with the same queries
    share       largest error of a place's share of the effect of all weights, against the whole corpus and all queries
    today       half-width in parts of the effect of all weights, against the sample before: 1,000 passages, half judged

The row of 0 queries is the default sample of transplants, all of it against the sample before.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import t as student

from retroscope.analyses.transplants.hybrids.vectors import hybrid_vectors
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.sampled import HARD, sampled
from retroscope.inputs.texts import texts_of
from retroscope.inputs.whole_search import whole_search
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory

RESTORED, GRAFTED = "none,block:2,block:4,block:6,ffn_out", "none,bottom:4,block:5"
QUERIES = (60, 120, 250, 500)
HARDS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
BEFORE = (1000, 1.0)  # passages and competitors of the sample before
TOP = 10
Effects = dict[str, np.ndarray]  # hybrid -> its effect on each query


@dataclass(frozen=True, eq=False)
class Material:
    """What every hybrid makes of the whole corpus.

    Attributes:
        similarity: (receiver, name) -> of every judged query and passage.
        gains: grade of every judged pair, 0 elsewhere.
    """

    pair: tuple[Retriever, Retriever]
    collection: Collection
    similarity: Mapping[tuple[int, str], Float[np.ndarray, "query passage"]]
    gains: Float[np.ndarray, "query passage"]
    rankings: Sequence[Mapping[str, Sequence[str]]]

    def effects(self, searched: Collection, measure: str) -> Effects:
        """Return what each hybrid changes of every query: against its receiver."""
        rows = np.flatnonzero([query in searched.queries for query in self.collection.judged_queries])
        columns = np.flatnonzero([passage in searched.passages for passage in self.collection.passages])
        at = np.ix_(rows, columns)
        values = {key: MEASURES[measure](one[at], self.gains[at]) for key, one in self.similarity.items()}
        effects = {f"{s}:{name}": v - values[s, "none"] for (s, name), v in values.items() if name != "none"}
        return effects | {"all": values[0, "none"] - values[1, "none"]}


def ndcg(similarity: Float[np.ndarray, "query passage"], gains: Float[np.ndarray, "query passage"]) -> np.ndarray:
    """Return nDCG@10 of every query, ties broken by position."""
    discount = 1 / np.log2(np.arange(2, TOP + 2))[: gains.shape[1]]
    ideal = -np.sort(-gains, axis=1)[:, :TOP]
    return np.asarray((_top(similarity, gains) * discount).sum(1) / (ideal * discount).sum(1))


def reciprocal_rank(similarity: Float[np.ndarray, "query passage"], gains: np.ndarray) -> np.ndarray:
    """Return RR@10 of every query, ties broken by position."""
    return np.asarray(((_top(similarity, gains) > 0) / np.arange(1, TOP + 1)).max(1))


def _top(similarity: Float[np.ndarray, "query passage"], gains: np.ndarray) -> np.ndarray:
    """Return the gains of the first passages, best first."""
    few = np.argpartition(-similarity, TOP, axis=1)[:, :TOP]
    order = np.take_along_axis(few, np.argsort(-np.take_along_axis(similarity, few, 1), axis=1), 1)
    return np.take_along_axis(gains, order, 1)


MEASURES = {"nDCG@10": ndcg, "RR@10": reciprocal_rank}


def main() -> None:
    """Encode, draw and print."""
    args = _arguments()
    torch.set_num_threads(1)
    material = _material(args)
    collection = material.collection
    everywhere = material.effects(sampled(collection, collection.judged_queries, 0, 0), args.measure)
    rows = []
    for seed in range(args.seeds):
        before = material.effects(drawn(material, None, *BEFORE, seed), args.measure)
        today = drawn(material, None, SweepSettings().passages, HARD, seed)
        against = (before, everywhere, before)
        effects_today = material.effects(today, args.measure)
        rows.append({"queries": 0, "hard": HARD, **_row(collection, today, effects_today, against)})
        for n in [n for n in QUERIES if n <= len(collection.judged_queries)]:
            pools = {hard: drawn(material, n, len(collection.passages) - 1, hard, seed) for hard in HARDS}
            effects = {hard: material.effects(pool, args.measure) for hard, pool in pools.items()}
            for hard, pool in pools.items():
                against = (effects[HARDS[-1]], everywhere, before)
                rows.append({"queries": n, "hard": hard, **_row(collection, pool, effects[hard], against)})
    table = pd.DataFrame(rows).groupby(["queries", "hard"], as_index=False).mean()
    print(f"{material.pair[0].name} -> {material.pair[1].name} on {collection.name}, {args.measure}")
    print("whole corpus: " + ", ".join(f"{n} {e.mean():+.4f} +- {width(e):.4f}" for n, e in everywhere.items()))
    print(table.round(3).to_string(index=False))


def drawn(material: Material, queries: int | None, passages: int, hard: float, seed: int) -> Collection:
    """Return a sample of some queries, drawn at random (None: of all that fit)."""
    judged = material.collection.judged_queries
    some = judged if queries is None else np.random.default_rng(seed).choice(judged, queries, replace=False).tolist()
    return sampled(material.collection, some, passages, seed, material.rankings, hard=hard)


def width(effect: np.ndarray) -> float:
    """Return the half-width of Student's 95 % interval of a mean."""
    return float(student.ppf(0.975, len(effect) - 1) * effect.std(ddof=1) / np.sqrt(len(effect)))


def _row(
    collection: Collection, pool: Collection, effects: Effects, against: tuple[Effects, Effects, Effects]
) -> dict[str, float]:
    most, everywhere, before = against
    place = {query: at for at, query in enumerate(collection.judged_queries)}
    rows = [place[query] for query in pool.judged_queries]
    return {
        "passages": len(pool.passages),
        "width": _ratio(effects, most),
        "relative": _relative(effects, most),
        "effect": float(effects["all"].mean() / everywhere["all"][rows].mean()),
        "share": max(abs(_share(effects, name) - _share(everywhere, name)) for name in effects),
        "today": _relative(effects, before),
    }


def _relative(effects: Effects, reference: Effects) -> float:
    """Return the mean ratio of half-widths, each in parts of the effect of all weights."""
    whole, other = (abs(float(one["all"].mean())) for one in (effects, reference))
    return _ratio(effects, reference) * other / whole


def _ratio(effects: Effects, reference: Effects) -> float:
    """Return the mean ratio of half-widths, of hybrids that change any query of the reference."""
    return float(np.mean([width(e) / width(reference[n]) for n, e in effects.items() if width(reference[n])]))


def _share(effects: Effects, name: str) -> float:
    return float(effects[name].mean() / effects["all"].mean())


def _material(args: argparse.Namespace) -> Material:
    pair = tuple(load_retriever(name, pooling=args.pooling) for name in (args.before, args.after))
    collection = load_collection(args.data)
    wanted = [(side, name) for side, names in ((1, args.restored), (0, args.grafted)) for name in names.split(",")]
    vectors, ids = {}, {}
    for tower in ("query", "passage"):
        texts = texts_of(pair[1], collection, tower, None)
        encoders = (pair[0].tower(tower), pair[1].tower(tower))
        vectors[tower], ids[tower] = hybrid_vectors(encoders, texts, wanted, args.cache, lambda _: None), texts.ids
    intact = {}
    for side in (0, 1):
        query, passage = (representations_in_memory(ids[t], vectors[t][side, "none"][:, None]) for t in ids)
        intact[str(side)] = RetrieverRepresentations(str(side), query, passage, pair[side].similarity, {})
    asked = [ids["query"].index(query) for query in collection.judged_queries]
    similarity = {
        key: _compared(vectors["query"][key][asked], vectors["passage"][key], pair[key[0]].similarity) for key in wanted
    }
    gains = np.array([[collection.qrels[q].get(p, 0) for p in ids["passage"]] for q in collection.judged_queries])
    rankings = whole_search(collection, intact).rankings
    return Material((pair[0], pair[1]), collection, similarity, np.maximum(gains, 0), rankings)


def _compared(queries: np.ndarray, passages: np.ndarray, similarity: str) -> Float[np.ndarray, "query passage"]:
    if similarity == "cosine":
        queries, passages = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, passages))
    return np.asarray(queries @ passages.T)


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--pooling")
    parser.add_argument("--restored", default=RESTORED, help="transplants into the retriever")
    parser.add_argument("--grafted", default=GRAFTED, help="transplants into the backbone")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
