"""The report of a comparison as one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retroscope.analyses.transplants.words import transplant_statements
from retroscope.statistics.difference import Difference, Flip
from retroscope.study.findings import Findings, TopPassages
from retroscope.study.tables import paper_tables
from retroscope.study.verdict import verdict
from retroscope.typesetting.figure import Figure
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.page import fill
from retroscope.typesetting.subject import AFTER, BEFORE

FLIPS_SHOWN = 60
PASSAGES_SHOWN = 3
PASSAGE_CHARACTERS = 320
NEGATIVES = {  # how they were found, in words
    "bm25": "the passages that BM25 ranks highest among those not judged relevant",
    "run": "those of a given run, without what is judged relevant",
    "given": "those that came with the data",
}


@dataclass(frozen=True)
class FlippedQuery:
    """A row of the flips table."""

    id: str
    text: str
    before: float
    after: float
    change: float
    tops: tuple[tuple[str, list[dict[str, Any]]], ...]


def render(findings: Findings, figures: Sequence[Figure]) -> str:
    """The page as HTML."""
    found = verdict(findings)
    values = {
        "f": findings,
        "n": findings.neurons,
        "n_query": findings.query_neurons,
        "prefix": "",
        "m": findings.moved,
        "t": findings.transplants,
        "transplanted": () if findings.transplants is None else transplant_statements(findings.transplants),
        "sides": ((BEFORE, findings.before), (AFTER, findings.after)),
        "verdict": found,
        "unconfirmed": found.unconfirmed,
        "negatives": NEGATIVES.get(findings.collection.negatives.get("how", ""), ""),
        "flips": flipped_queries(findings),
        "methods": methods(findings),
    }
    return fill("report.html.j2", figures, paper_tables(findings), values)


def flipped_queries(findings: Findings) -> list[FlippedQuery]:
    """The queries that changed most by the flip measure, half of them losses where there are as many."""
    return [
        FlippedQuery(
            f.query_id, findings.query_texts.get(f.query_id, ""), f.before, f.after, f.change,
            _tops(findings.top_passages.get(f.query_id)),
        )
        for f in shown_flips(findings.retrieval, findings.flip_measure)
    ]  # fmt: skip


def shown_flips(retrieval: Difference, measure: str) -> list[Flip]:
    """The flips that the page shows, biggest change first."""
    flips = retrieval.flips(measure=measure)
    losses = [f for f in flips if f.change < 0]
    gains = [f for f in flips if f.change > 0][: FLIPS_SHOWN - min(FLIPS_SHOWN // 2, len(losses))]
    return sorted([*gains, *losses[: FLIPS_SHOWN - len(gains)]], key=lambda f: (-abs(f.change), f.query_id))


def methods(findings: Findings) -> dict[str, Mapping[str, Any]]:
    """How every difference was computed."""
    found = {
        "Retrieval": findings.retrieval,
        "By layer": findings.layer_retrieval,
        "Already there": findings.baselines.left if findings.baselines else None,
        "Whitened": findings.whitened,
        "Elsewhere": findings.elsewhere.retrieval if findings.elsewhere else None,
        "Probing": findings.probing,
        "Neurons": findings.neurons.profile if findings.neurons else None,
        "Neurons, query tower": findings.query_neurons.profile if findings.query_neurons else None,
    }
    if findings.transplants is not None:
        found |= {f"Transplants: {name}": d for name, d in findings.transplants.differences.items()}
    said: dict[str, Mapping[str, Any]] = {
        name: {**d.method, "alpha": alpha(d)} for name, d in found.items() if d is not None
    }
    return said if findings.trainings is None else {**said, "Over trainings": findings.trainings.method}


def _tops(found: TopPassages | None) -> tuple[tuple[str, list[dict[str, Any]]], ...]:
    if found is None:
        return ()
    return tuple(
        (side, [{"id": p.id, "text": _short(p.text), "score": p.score, "relevant": p.relevant} for p in ranking])
        for side, ranking in ((BEFORE, found.before[:PASSAGES_SHOWN]), (AFTER, found.after[:PASSAGES_SHOWN]))
    )


def _short(text: str) -> str:
    return text if len(text) <= PASSAGE_CHARACTERS else f"{text[:PASSAGE_CHARACTERS].rstrip()} ..."
