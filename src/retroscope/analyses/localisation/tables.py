"""Table of localisation: the block that each instrument names, and the effect of transplanting it."""

from typing import Any

import pandas as pd

from retroscope.analyses.localisation.result import PARTS, LocalisationResult
from retroscope.analyses.localisation.words import DONE, ROWS
from retroscope.numbers import interval, p_value, score, signed
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.places import place_words


def localisation_tables(result: LocalisationResult) -> dict[str, PaperTable]:
    """Return the table of the place that each instrument names, with the effect of its transplant."""
    claims = result.claims
    if claims.empty:
        return {}
    frame = pd.DataFrame(
        {
            "instrument": [
                f"{ROWS[r['instrument']]}{', by part' * (r['kind'] == PARTS)}" for _, r in claims.iterrows()
            ],
            "names": [place_words(p) for p in claims["place"]],
            "alone": [DONE[d] for d in claims["direction"]],
            result.measure: [score(v) for v in claims["score"]],
            "effect": [signed(v) for v in claims["effect"]],
            "interval": [interval(r["ci_low"], r["ci_high"], effect=True) for _, r in claims.iterrows()],
            "matters more": [_rival(r) for _, r in claims.iterrows()],
            "transplants": list(claims["agreement"]),
            "rank": [f"{r['rank']:+.2f} ({p_value(r['rank_p'])})" for _, r in claims.iterrows()],
        }
    )
    note = (
        "Matters more: a place with a significantly larger effect than the named place, and the difference with its "
        f"interval (paired by query, {result.correction}-corrected over all other places, for each instrument "
        "separately). Agrees: the instrument names the place with the largest effect. Matters too: the instrument "
        "names another place with a significant effect, and no place has a significantly larger effect. An instrument "
        "may name a place whose weights do not affect retrieval: representations also diverge where a change of lower "
        "blocks becomes visible. Rank: Spearman's correlation of the instrument's values with the effects of single "
        "places; its p is from permutations of the places and uncorrected."
    )
    numeric = (result.measure, "effect", "interval")
    return {
        "localisation": PaperTable(
            frame,
            "The block or part that each measurement points to, and whether transplants of weights agree",
            note,
            numeric,
        )
    }


def _rival(row: "pd.Series[Any]") -> str:
    if not row["rival"]:
        return "none significantly"
    more = f"{signed(row['extra'])} {interval(row['extra_low'], row['extra_high'], effect=True)}"
    return f"{place_words(row['rival'])} ({more})"
