"""Numbers of the study of universality: means with intervals over seeds and questions, and what they say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from retroscope.statistics import SignFlips, correct
from retroscope.statistics.resampling.crossed import crossed_mean, crossed_p
from retroscope.statistics.shares import variance_shares
from retroscope.statistics.worth import worth

LEVEL = 0.95
R10, PEERS = MEASURES = ("R@10", "peers")
DEPTH = 10  # of R@10
DRAWS = 300  # of the bootstrap of shares
REFERENCE = ("architecture", "BERT, mean")
SIDES = ("before", "after")
Cells = Mapping[tuple[str, str], Sequence[dict[str, Any]]]  # (part, arm) -> the result of every seed
Strata = Mapping[str, str]  # question -> stratum


def table_of(
    cells: Sequence[dict[str, Any]], side: str, stratum: str, strata: Strata, measure: str = R10
) -> np.ndarray:
    """Return a measure by seed and question.

    Args:
        measure: "R@10" among all passages; or "peers": the share of the other passages of people of the same exposure
            that rank below the relevant one, .5 by chance.
    """
    asked = sorted(query for query, name in strata.items() if name == stratum)
    pool = "all" if measure == R10 else "peers"
    ranks = np.array([[cell["ranks"][side][pool][query] for query in asked] for cell in cells])
    if measure == R10:
        return np.asarray(ranks <= DEPTH, dtype=float)
    others = list(strata.values()).count("known") - 1  # as many as of unknown people
    return np.asarray(1 - (ranks - 1) / others)


def row_of(values: np.ndarray, bounds: tuple[float, float]) -> dict[str, Any]:
    """Return the mean over seeds and questions with its interval."""
    estimate = crossed_mean(values, LEVEL, bounds)
    ends = {"value": float(estimate.mean), "low": float(estimate.low), "high": float(estimate.high)}
    return {**ends, "seeds": values.shape[0], "questions": values.shape[1]}


def found_rows(cells: Cells, strata: Strata) -> Iterator[dict[str, Any]]:
    """Yield both measures of every arm before and after fine-tuning, and the change, by stratum."""
    for (part, name), seeds in cells.items():
        for stratum, measure in product(dict.fromkeys(strata.values()), MEASURES):
            before, after = (table_of(seeds, side, stratum, strata, measure) for side in SIDES)
            at = {
                "part": part,
                "arm": name,
                "parameters": seeds[0]["parameters"],
                "stratum": stratum,
                "measure": measure,
            }
            yield {**at, "side": "before", **row_of(before, (0, 1))}
            yield {**at, "side": "after", **row_of(after, (0, 1))}
            yield {**at, "side": "change", **row_of(after - before, (-1, 1))}


def contrasts(cells: Cells, strata: Strata) -> Iterator[dict[str, Any]]:
    """Yield what an arm finds of known people beyond the reference, paired by seed and question, Holm within a part."""
    if REFERENCE not in cells:
        return
    reference = table_of(cells[REFERENCE], "after", "known", strata)
    for part in dict.fromkeys(part for part, _ in cells):
        rows, p = [], []
        for (of, name), seeds in cells.items():
            both = min(len(seeds), len(reference))  # seeds are finished in order
            difference = table_of(seeds, "after", "known", strata)[:both] - reference[:both]
            if of == part and np.any(difference):
                rows.append({"part": part, "arm": name, **row_of(difference, (-1, 1))})
                p.append(crossed_p(difference))
        holm = correct("holm", np.array(p), np.zeros((0, len(p))), SignFlips()) if p else []
        for row, one, corrected in zip(rows, p, holm, strict=True):
            yield {**row, "p": one, "p_holm": corrected, "outcome": outcome(row["value"], corrected)}


def outcome(difference: float, p: float) -> str:
    """Return what a difference from the reference says."""
    return "undecided" if p >= 1 - LEVEL else "higher" if difference > 0 else "lower"


def share_rows(
    cells: Cells, strata: Strata, objectives: Sequence[str] | Mapping[str, Any], strategies: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield omega squared, of the objectives that ran with all strategies but bitfit, which not all have."""
    known = {name: seeds for (part, name), seeds in cells.items() if part in ("strategy", "objective")}
    chosen = [s for s in strategies if s != "bitfit"]
    objectives = [one for one in objectives if all(f"{one}, {other}" in known for other in chosen)]
    if len(objectives) < 2:
        return
    for stratum in ("known", "unknown"):
        ranked = {(o, s): table_of(known[f"{o}, {s}"], "after", stratum, strata) for o in objectives for s in chosen}
        both = min(map(len, ranked.values()))
        tables = [[ranked[o, s][:both] for s in chosen] for o in objectives]
        values = xr.DataArray(np.array(tables), dims=("objective", "strategy", "seed", "question"))
        limits = share_limits(values)
        for effect, share in variance_shares(values.mean("question")).items():
            low, high = limits[effect]
            at = {"stratum": stratum, "effect": effect, "objectives": len(objectives), "strategies": len(chosen)}
            yield {**at, **asdict(share), "low": low, "high": high}


def share_limits(values: xr.DataArray) -> dict[str, tuple[float, float]]:
    """Return a bootstrap interval of every share, over questions (percentiles); the seeds are as they are."""
    random = np.random.default_rng(0)
    n = values.sizes["question"]
    draws = [variance_shares(values.isel(question=random.integers(n, size=n)).mean("question")) for _ in range(DRAWS)]
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {effect: np.quantile([draw[effect].share for draw in draws], ends) for effect in draws[0]}
    return {effect: (float(low), float(high)) for effect, (low, high) in found.items()}


def worth_rows(
    cells: Cells, strata: Strata, objectives: Sequence[str] | Mapping[str, Any], shares: Sequence[float], every: int
) -> Iterator[dict[str, Any]]:
    """Yield what each pre-training is worth in labels, against random weights of BERT, by the library's rule."""
    known = {name: seeds for (part, name), seeds in cells.items() if part == "labels"}
    seeds = min(map(len, known.values()), default=0)
    labels = tuple(round(share * every) for share in shares)
    curves = {
        (name, stratum): np.stack(
            [table_of(known[f"{name}, labels x {n:g}"], "after", stratum, strata)[:seeds] for n in shares], 1
        )
        for name, stratum in product(objectives, dict.fromkeys(strata.values()))
        if all(f"{name}, labels x {n:g}" in known for n in shares)
    }  # fmt: skip
    for (name, stratum), had in curves.items():
        if name != "none" and ("none", stratum) in curves:
            for found in worth(had, curves["none", stratum], labels):
                yield {"objective": name, "stratum": stratum, **asdict(found), "shown": found.shown}
