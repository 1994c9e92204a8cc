"""Small made-up findings with known truth: what the report is tested on."""

import gc
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import xarray as xr
from retroscope.study.findings import Findings, RankedPassage, TopPassages

from retroscope.encoders.proofs import SelfTest
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, compare_scores
from retroscope.typesetting.subject import CollectionFacts, Model, Tower

gc.freeze()  # statsmodels collects garbage at every correction; it need not look through the libraries each time
N_QUERIES = 240
LAYERS = tuple(range(7))
LABELS = (*map(str, LAYERS[:-1]), "6 (post-norm)")
PROBES = ("dot", "cosine", "passage_only", "elementwise", "bilinear", "mean_difference")
CONTROLS = ("none", "shuffled_queries", "hash_labels", "random_weights")
PASSAGES = (2, 5)
EVIL = "</script><script>alert('x')</script> & \\input{/etc/passwd} $50% <img src=http://evil.example/x.png>"


def compare(before: Scores, after: Scores, margin: float | None = 0.01):
    return compare_scores(before, after, ComparisonSettings(margin=margin, resamples=400))


def query_ids():
    return [f"q{i}" for i in range(N_QUERIES)]


def retrieval(gain: float = 0.12, seed: int = 0):
    rng = np.random.default_rng(seed)
    rank = rng.integers(1, 9, N_QUERIES)
    better = np.where(
        rng.random(N_QUERIES) < 0.5 + 2 * gain, np.maximum(rank - rng.integers(0, 5, N_QUERIES), 1), rank + 1
    )
    better = rank if gain == 0 else better
    return tuple(
        Scores("retrieval", xr.DataArray(
            np.stack([1 / np.log2(1 + r), 1 / r, (r <= 5).astype(float)], axis=1),
            coords={"query": query_ids(), "measure": ["nDCG@10", "RR", "R@5"]}, dims=("query", "measure"),
        ))
        for r in (rank, better)
    )  # fmt: skip


def layer_retrieval(seed: int = 1):
    rng = np.random.default_rng(seed)
    coords = {"query": query_ids(), "layer": list(LAYERS), "measure": ["nDCG@10"]}
    means = (np.linspace(0.25, 0.3, 7), np.r_[np.linspace(0.25, 0.34, 6), 0.62])
    return tuple(
        Scores("layer retrieval", xr.DataArray(
            np.clip(m[None, :, None] + 0.2 * rng.standard_normal((N_QUERIES, 7, 1)), 0, 1), coords=coords,
            dims=("query", "layer", "measure"),
        ))
        for m in means
    )  # fmt: skip


def accuracy(probe: str, control: str, n: int, layer: int, side: str) -> float:
    chance = 1 / n
    if control in ("shuffled_queries", "hash_labels"):
        return chance
    if control == "random_weights":
        return chance + 0.02
    if probe == "passage_only":
        return chance + 0.07
    base = chance + 0.35 * (1 - chance)
    return base + (0.05 * layer if side == "after" and layer >= 2 else 0) * (1 - base) * 3


def probing(seed: int = 2, accuracy=accuracy, controls=CONTROLS, probes=PROBES):
    rng = np.random.default_rng(seed)
    shape = (N_QUERIES, len(probes), len(controls), len(PASSAGES), len(LAYERS))
    luck = rng.random(shape)  # the same luck on both sides: the sides are paired
    coords = {"query": query_ids(), "probe": list(probes), "control": list(controls), "passages": list(PASSAGES),
              "layer": list(LAYERS)}  # fmt: skip
    sides = []
    for side in ("before", "after"):
        p = np.array(
            [[[[accuracy(a, c, n, k, side) for k in LAYERS] for n in PASSAGES] for c in controls] for a in probes]
        )
        sides.append(Scores("probing", xr.DataArray((luck < p).astype(float), coords=coords, dims=tuple(coords))))
    return tuple(sides)


def tower(role: str, *, failed: bool = False, labels=LABELS) -> Tower:
    recipe = {
        "pooling": "mean", "max_length": 256, "prompt": "query: " if role == "query" else "", "head": ["normalize"],
        "padding_side": "right", "causal": None, "truncate_dim": None,
        "sources": {"pooling": "checkpoint: 1_Pooling/config.json", "max_length": "user", "prompt": "default"},
    }  # fmt: skip
    proof = {
        "source": "models/toy",
        "loaded": 103,
        "missing": ("pooler.dense.weight",),
        "unexpected": (),
        "notes": ("tied",),
    }
    tests = (
        SelfTest(
            "more padding changes nothing", not failed, 4e-3 if failed else 2e-7, 1e-5, "left and right, 7 tokens"
        ),
        SelfTest("batch size changes nothing", True, 1e-7, 1e-5),
    )
    return Tower(role, recipe, proof, tuple(labels), "ab12" * 16, tests)


def model(name: str, *, towers=None) -> Model:
    return Model(name, "cosine", towers or (tower("query"), tower("passage")))


def spread() -> pd.DataFrame:
    return pd.DataFrame(
        [
            (s, "elementwise", control, n, k, 0.004 + 0.001 * k, train)
            for control, train in (("none", 0.9), ("hash_labels", 0.62))
            for s in ("before", "after")
            for n in PASSAGES
            for k in LAYERS
        ],
        columns=["side", "probe", "control", "n_passages", "layer", "sd", "train_accuracy"],
    )


def top_passages() -> TopPassages:
    found = RankedPassage("p1", "The Suez Canal opened in 1869 after ten years of work.", 0.81, True)
    other = RankedPassage("p2", "The Panama Canal opened in 1914.", 0.74, False)
    return TopPassages(before=(other, found), after=(found, other))


def findings(**changes) -> Findings:
    return replace(whole(), **changes)


@cache
def whole() -> Findings:
    ids = query_ids()
    return Findings(
        title="toy backbone and the retriever made from it",
        protocol="default",
        before=model("toy-backbone"),
        after=model("toy-retriever"),
        collection=CollectionFacts(
            "toy", "beir:data/toy", {"passages": 1200, "queries": 240, "judged queries": 240}, {"question": "query"},
            {"method": "bm25", "depth": 100, "per query": 4}, "cd34" * 16,
        ),
        retrieval=compare(*retrieval()),
        primary_measure="nDCG@10",
        flip_measure="RR",
        layer_retrieval=compare(*layer_retrieval()),
        probing=compare(*probing()),
        seed_spread=spread(),
        query_texts={q: f"when did event number {i} happen and who was there" for i, q in enumerate(ids)},
        top_passages={q: top_passages() for q in ids[::3]},
        caveats=("Hard negatives come from BM25: they share words with the query.",),
        command="retroscope compare toy-backbone toy-retriever --data beir:data/toy --out runs/toy",
        settings={"seeds": 5, "passages": [2, 5], "probe": {"ridge": [0.01, 0.1, 1.0]}},
        versions={"retroscope": "0.1.0", "torch": "2.13"},
        timings={"represent": 83.2, "probe": 12.0, "compare": 4021.0},
    )  # fmt: skip
