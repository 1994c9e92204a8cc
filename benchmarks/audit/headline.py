"""Does the test of the declared headline depend on how many other measures were asked for?

    python benchmarks/audit/headline.py                                     # scores made after a reported case
    python benchmarks/audit/headline.py --before BACKBONE --after RETRIEVER --data SPEC --cache FOLDER

Before: all queries independent, all measures one family, and the corrected p beside an uncorrected interval. After:
what the report infers. For both, every measure's effect with its interval, its p alone and corrected, and whether the
p that the report puts beside the interval agrees with it: p < .05 where the interval excludes 0, and nowhere else.
Below, the headline's corrected p with the first one, two ... measures.

The made scores have what was reported of MiniLM fine-tuned on PolicyQA: 726 queries, nDCG@10 with p = .040 alone, R@100
with 191 queries gained and 71 lost; the other two measures are not significant.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.report import REPORTER
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.retrieval.words import statements
from retroscope.analyses.section import Reading
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.number_format import interval, signed
from retroscope.representations.represent import represent
from retroscope.retrieval.measures import DEFAULT_MEASURES
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import TEXT, Scores
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

Sides = tuple[Scores, Scores]


def main() -> None:
    """Print both tables, the headline's p by the number of measures, and what the report states."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before")
    parser.add_argument("--after")
    parser.add_argument("--data")
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    if not args.data:
        print("\n".join(lines(made(), DEFAULT_MEASURES)))
        return
    data = load_collection(args.data)
    retrievers = (load_retriever(name) for name in (args.before, args.after))
    before, after = (retrieve(represent(one, data, args.cache), data, DEFAULT_MEASURES).scores for one in retrievers)
    print("\n".join(lines((before, after), DEFAULT_MEASURES)))


def made() -> Sides:
    """Return scores whose changes have, alone, p = .040 (nDCG@10), .2, .3 and 1e-13 (R@100: 191 gained, 71 lost)."""
    random, n = np.random.default_rng(0), 726
    change = np.zeros((n, 4))
    for column, t in enumerate((2.0575, 1.28, 1.04)):
        noise = random.standard_normal(n)
        noise = (noise - noise.mean()) / noise.std(ddof=1)
        change[:, column] = 0.1 * (noise + t / np.sqrt(n))
    change[:191, 3], change[191:262, 3] = 1, -1
    before = np.full((n, 4), 0.4)
    before[:, 3] = change[:, 3] < 0
    coords = {"query": [f"q{i:03d}" for i in range(n)], "measure": list(DEFAULT_MEASURES)}
    dims = ("query", "measure")
    return Scores("made", xr.DataArray(before, coords, dims)), Scores(
        "made", xr.DataArray(before + change, coords, dims)
    )


def lines(sides: Sides, measures: Sequence[str]) -> list[str]:
    """Return what is printed of the scores of both models over these measures."""
    result = inferred(sides, measures)
    return [
        "when | measure | effect | p | p corrected | the p beside the interval agrees with it",
        *table("before", in_one_family(sides, measures), beside="p_corrected"),
        *table("after", result.effect, beside="p"),
        "",
        f"p of {measures[0]}, corrected, by number of measures | before | after",
        *(by_number(sides, measures[:n]) for n in range(1, len(measures) + 1)),
        "",
        *(f"the report: {s.text}" for s in statements(result, subject(measures))),
    ]


def subject(measures: Sequence[str]) -> Subject:
    """Return as much of a study's subject as retrieval is inferred with."""
    return Subject("", {}, (), measures=tuple(measures))


def inferred(sides: Sides, measures: Sequence[str]) -> RetrievalResult:
    """Return the library's result of retrieval by these measures."""
    scores = dict(zip((BEFORE, AFTER), chosen(sides, measures), strict=True))
    result = REPORTER.infer([Measurement(scores=scores)], Reading(subject(measures)))
    assert isinstance(result, RetrievalResult)
    return result


def in_one_family(sides: Sides, measures: Sequence[str]) -> Difference:
    """Return the comparison as it was: every query for itself, and the headline a measure like any other."""
    apart = [
        replace(side, passages={}, values=side.values.drop_vars(TEXT, errors="ignore"))
        for side in chosen(sides, measures)
    ]
    return compare_scores(apart[0], apart[1], ComparisonSettings())


def chosen(sides: Sides, measures: Sequence[str]) -> list[Scores]:
    """Return both models' scores by these measures alone."""
    return [replace(side, values=side.values.sel(measure=list(measures))) for side in sides]


def table(when: str, effect: Difference, beside: str) -> list[str]:
    """Return a line for each measure; `beside` is the p-value that the report puts beside the interval."""
    made = []
    for _, row in rows(effect).iterrows():
        excludes = row["ci_low"] > 0 or row["ci_high"] < 0
        change = f"{signed(row['effect'])} {interval(row['ci_low'], row['ci_high'], effect=True)}"
        agrees = "yes" if excludes == (row[beside] < alpha(effect)) else "NO"
        made.append(f"{when} | {row['measure']} | {change} | {row['p']:.3g} | {row['p_corrected']:.3g} | {agrees}")
    return made


def by_number(sides: Sides, measures: Sequence[str]) -> str:
    """Return the headline's corrected p with these measures asked for."""
    effects = in_one_family(sides, measures), inferred(sides, measures).effect
    before, after = (float(one.table["p_corrected"].sel(measure=measures[0])) for one in effects)
    return f"{len(measures)} | {before:.3g} | {after:.3g}"


if __name__ == "__main__":
    main()
