"""Count the tokens of every query."""

import xarray as xr

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.scores import Scores


def refusal(context: Context, settings: NoSettings) -> str:
    """Return why this cannot be measured; empty, since every model has a tokenizer."""
    return ""


def plan(context: Context, settings: NoSettings) -> Planned:
    """Return what it takes: the counts are known from the plan of the vectors."""
    return Planned(lines=(f"tokens of {len(context.collection.queries):,} queries",))


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the counts of every model, (query, count), under its name: "before", "after" or "model"."""
    scores = {}
    for side, retriever in context.models.items():
        queries, _ = context.towers(retriever)
        values = xr.DataArray(
            queries.plan.inventory.lengths[:, None].astype(float),
            dims=("query", "count"),
            coords={"query": list(queries.ids), "count": ["tokens"]},
        )
        recipe = {"tokenizer of": retriever.name, "recipe": retriever.query.recipe.as_dict()}
        scores[side] = Scores("tokens", values, recipe).with_texts(context.collection.query_texts)
    return Measurement(scores=scores)


INSTRUMENT = Instrument(refusal, plan, measure)
