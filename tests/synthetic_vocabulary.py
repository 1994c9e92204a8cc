"""Words that made-up vectors decode to."""

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.vocabulary.result import DIFFERENCE, OVERLAP, SHUFFLED, RankCorrelation, VocabularyResult
from retroscope.scores import Scores
from synthetic_subject import LAYERS, compare, query_ids


def vocabulary_result(words: str = "") -> VocabularyResult:
    """Return shares of a pair, and the words of every query; `words` instead of them."""
    ids, quantities = query_ids(), ["query words", "passage words", OVERLAP, SHUFFLED]
    rng = np.random.default_rng(0)
    coords = {"query": ids, "layer": list(LAYERS), "quantity": quantities}
    sides = {
        side: Scores(
            "vocabulary", xr.DataArray(rng.integers(0, top, (len(ids), len(LAYERS), 4)) / 20, coords, tuple(coords))
        )
        for side, top in (("before", 10), ("after", 15))
    }
    says = pd.concat(
        [
            pd.DataFrame({
                "query_id": ids,
                "side": side,
                "query_says": [words or f"{side} query {i}" for i in ids],
                "passage_says": [words or f"{side} passage {i}" for i in ids],
                "added": [words or side for _ in ids],
            })
            for side in sides
        ],
        ignore_index=True,
    )  # fmt: skip
    beyond = {
        side: compare(*(
            Scores("overlap", one.values.sel(quantity=name, drop=True), passages={}) for name in (SHUFFLED, OVERLAP)
        ))
        for side, one in sides.items()
    }  # fmt: skip
    n = len(ids)
    associated = (
        RankCorrelation(OVERLAP, 0.4, 0.3, 0.5, 0.001, n),
        RankCorrelation(SHUFFLED, 0.0, -0.1, 0.1, 0.9, n),
        RankCorrelation(DIFFERENCE, 0.4, 0.2, 0.6, 0.001, n),
    )
    effect = compare(sides["before"], sides["after"])
    effect_of_overlap = compare(*(
        Scores("overlap", one.values.sel(quantity=OVERLAP, drop=True), passages={}) for one in sides.values()
    ))  # fmt: skip
    return VocabularyResult("toy", 20, False, sides, effect, beyond, associated, "RR", says, effect_of_overlap)
