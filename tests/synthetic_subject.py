"""A made-up pair on a made-up collection, as every section of a report is given it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from retroscope.analyses.section import Reading, Section
from retroscope.encoders.checks.proofs import SelfTest
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.typesetting.subject import CollectionFacts, Model, Subject, Tower

N_QUERIES = 240
LAYERS = tuple(range(7))
LABELS = (*map(str, LAYERS[:-1]), "6 (post-norm)")
EVIL = "</script><script>alert('x')</script> & \\input{/etc/passwd} $50% <img src=http://evil.example/x.png>"
STATISTICS = ComparisonSettings(margin=0.01, resamples=400)


def query_ids() -> list[str]:
    return [f"q{i}" for i in range(N_QUERIES)]


def compare(before: Scores, after: Scores, margin: float | None = 0.01) -> Difference:
    return compare_scores(before, after, replace(STATISTICS, margin=margin))


def tower(role: str, *, failed: bool = False, labels: tuple[str, ...] = LABELS) -> Tower:
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


def model(name: str, *, towers: tuple[Tower, ...] = ()) -> Model:
    return Model(name, "cosine", towers or (tower("query"), tower("passage")))


def collection(**changes: Any) -> CollectionFacts:
    facts = CollectionFacts(
        "toy", "beir:data/toy", {"passages": 1200, "queries": 240, "judged queries": 240}, {"question": "query"},
        {"method": "bm25", "depth": 100, "per query": 4}, "cd34" * 16,
    )  # fmt: skip
    return replace(facts, **changes)


def subject(**changes: Any) -> Subject:
    subject_facts = Subject(
        title="toy backbone and the retriever made from it",
        models={"before": model("toy-backbone"), "after": model("toy-retriever")},
        collections=(collection(),),
        measures=("nDCG@10", "RR", "R@5"),
        statistics=STATISTICS,
        settings={"seeds": 5, "passages": [2, 5], "probe": {"ridge": [0.01, 0.1, 1.0]}},
        caveats=("Hard negatives come from BM25: they share words with the query.",),
        command="retroscope compare toy-backbone toy-retriever --data beir:data/toy --out runs/toy",
        versions={"retroscope": "0.1.0", "torch": "2.13"},
        timings={"represent": 83.2, "probe": 12.0, "compare": 4021.0},
    )
    return replace(subject_facts, **changes)


def reading(
    results: Mapping[str, Any] | None = None, sections: Mapping[str, Section] | None = None, **changes: Any
) -> Reading:
    return Reading(subject(**changes), results or {}, sections or {})
