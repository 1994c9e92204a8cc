"""Table of localisation: the block where each measurement is largest, and the effect of transplanting it."""

from typing import Any

import pandas as pd

from retroscope.analyses.localisation.result import PARTS, LocalisationResult
from retroscope.analyses.localisation.words import DONE, ROWS
from retroscope.number_format import interval, p_value, score, signed
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.places import place_words


def localisation_tables(result: LocalisationResult) -> dict[str, PaperTable]:
    """Return a table of the block or part where each measurement is largest, with the effect of transplanting it."""
    claims = result.claims
    if claims.empty:
        return {}
    frame = pd.DataFrame(
        {
            "measurement": [
                f"{ROWS[r['instrument']]}{', by part' * (r['kind'] == PARTS)}" for _, r in claims.iterrows()
            ],
            "points to": [place_words(p) for p in claims["place"]],
            "weights": [DONE[d] for d in claims["direction"]],
            result.measure: [score(v) for v in claims["score"]],
            "effect": [signed(v) for v in claims["effect"]],
            "interval": [interval(r["ci_low"], r["ci_high"], effect=True) for _, r in claims.iterrows()],
            "larger effect": [_rival(r) for _, r in claims.iterrows()],
            "agreement": list(claims["agreement"]),
            "rank correlation": [f"{r['rank']:+.2f} ({p_value(r['rank_p'])})" for _, r in claims.iterrows()],
        }
    )
    numeric = (result.measure, "effect", "interval")
    return {
        "localisation": PaperTable(
            frame,
            "The block or part that each measurement points to, and whether transplants of weights agree",
            _note(result),
            numeric,
        )
    }


def _note(result: LocalisationResult) -> str:
    return (
        f"{result.measure}, effect and interval: those of transplanting only the block or part that the measurement "
        "points to. Larger effect: the block or part whose effect is significantly larger than the effect in this row, "
        f"and the difference of both effects with its interval (paired by query, {result.correction}-corrected over "
        "all other blocks or parts, for each measurement separately). Agreement: *agrees* if the measurement points to "
        "the block or part with the largest effect; *matters too* if it points to another one with a significant "
        "effect, and no effect is significantly larger; *contradicted* if another effect is significantly larger; "
        "*undecided* otherwise. A measurement may point to weights that do not affect retrieval. For example, the "
        "representations of a block can change because only the weights of lower blocks changed. Rank correlation: "
        "Spearman's correlation, over all blocks or parts, of the measurement's value with the effect of transplanting "
        "the block or part alone. The p of this correlation comes from permutations of the blocks or parts and is not "
        "corrected."
    )


def _rival(row: "pd.Series[Any]") -> str:
    if not row["rival"]:
        return "none is significant"
    more = f"{signed(row['extra'])} {interval(row['extra_low'], row['extra_high'], effect=True)}"
    return f"{place_words(row['rival'])} ({more})"
