"""Tables of an overview: every effect as text, for page, CSV and LaTeX."""

import pandas as pd

from retroscope.number_format import interval, p_number, score, signed
from retroscope.study.overview.comparable import MEASURE, OWN, Comparable
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.subject import AFTER, BEFORE

NUMERIC = (BEFORE, AFTER, "effect", "interval", "p", "queries")


def own_table(one: Comparable) -> PaperTable:
    """Return a table of the effect of every retriever against its own backbone, a row for each measure."""
    effects = one.effects[one.effects["baseline"] == OWN]
    note = (
        "Tests are those of each study: p is corrected within its family of tests; intervals are over queries and not "
        "corrected."
    )
    return PaperTable(
        _printed(effects, ["model", MEASURE]), f"Against its own backbone, on {one.heading}.", note, NUMERIC
    )


def pairs_table(one: Comparable) -> PaperTable:
    """Return a table of the effects of every retriever against every other one, a row for each measure."""
    effects = one.effects[one.effects["baseline"] != OWN]
    note = (
        "p is corrected over all pairs of retrievers, for each measure separately; intervals are over queries, not "
        "corrected."
    )
    caption = f"Against another retriever, on {one.heading}."
    return PaperTable(_printed(effects, ["baseline", "model", MEASURE]), caption, note, NUMERIC)


def _printed(effects: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    numbers = pd.DataFrame(
        {
            BEFORE: [score(v) for v in effects[BEFORE]],
            AFTER: [score(v) for v in effects[AFTER]],
            "effect": [signed(v) for v in effects["effect"]],
            "interval": [
                interval(*ends, effect=True) for ends in zip(effects["ci_low"], effects["ci_high"], strict=True)
            ],
            "p": [p_number(p) for p in effects["p_corrected"]],
            "state": list(effects["state"]),
            "queries": [f"{n:,.0f}" for n in effects["n"]],
        },
        dtype=object,
    )
    return pd.concat([effects[labels].reset_index(drop=True).astype(object), numbers], axis=1)
