"""Search with the vectors of every layer."""

import xarray as xr

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.retrieval.retrieve import rank_by_layers, retrieve_layers
from retroscope.retrieval.separation import separation_by_layer
from retroscope.scores import Scores


def refusal(context: Context, settings: NoSettings) -> str:
    """Return "" (no refusal), because retrieval by layer can be measured for every model."""
    return ""


def plan(context: Context, settings: NoSettings) -> Planned:
    """Estimate the seconds of a search with every layer. A model with a final norm is searched again without it."""
    views = {side: len(retriever.passage.layer_names) for side, retriever in context.models.items()}
    times = {side: 2 if retriever.passage.anatomy.post_norm else 1 for side, retriever in context.models.items()}
    seconds = sum(
        times[side] * views[side] * context.search_seconds(retriever) for side, retriever in context.models.items()
    )
    return Planned(seconds=seconds)


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the retrieval scores of every layer of each model, (query, layer, measure).

    They are named after the role of the model, e.g. "before". "before/bare" has the scores without the final norm.

    The frame "first_ranks" has the rank of the first relevant passage in the columns query, layer, and one for each
    model. For a pair of models, the frames "similarities" and "above" have the histograms of `retrieval.separation` on
    the first collection.
    """
    scores: dict[str, Scores] = {}
    ranks: dict[str, xr.DataArray] = {}
    caveats: list[str] = []
    seconds: dict[str, float] = {}
    for side, retriever in context.models.items():
        stages = context.stages(retriever.name)
        vectors = context.encoded(retriever).vectors
        ranked = rank_by_layers(
            vectors, context.collection, context.settings.measures, stages.inside("retrieval by layer")
        )
        by_layer = scores[side] = ranked.scores
        ranks[side] = ranked.ranks
        new = [warning for warning in by_layer.warnings if warning not in vectors.warnings]
        caveats += [f"{side}: {text}" for text in (*new, *ranked.notes)]
        bare = vectors.bare()
        if bare is not None:
            show = stages.inside("retrieval by layer, no norm")
            scores[f"{side}/bare"] = retrieve_layers(bare, context.collection, context.settings.measures, show)
        stages.ended("retrieval by layer")
        seconds |= {f"{side}: {stage}": duration for stage, duration in stages.seconds.items()}
    frames = {"first_ranks": xr.Dataset(ranks).to_dataframe().reset_index()}
    facts: dict[str, object] = {}
    if context.is_pair and context.first:
        sides = {side: context.encoded(retriever).vectors for side, retriever in context.models.items()}
        separation = separation_by_layer(sides, context.collection)
        frames |= {"similarities": separation.counts, "above": separation.above}
        facts = {
            "similarities": {"queries": len(separation.sample.queries), "passages": len(separation.sample.passages)}
        }
    return Measurement(scores=scores, frames=frames, facts=facts, caveats=tuple(caveats), seconds=seconds)


INSTRUMENT = Instrument(refusal, plan, measure)
