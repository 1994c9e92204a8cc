"""Search the collection with each model's final vectors."""

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.flips import flip_measure
from retroscope.analyses.retrieval.stored import query_frames
from retroscope.inputs.encoding import refuse_blind
from retroscope.retrieval.measures import depth, depth_caveats
from retroscope.retrieval.retrieve import Retrieval, check_measures, retrieve


def refusal(context: Context, settings: NoSettings) -> str:
    """Return "" (no refusal), because every model can search."""
    return ""


def plan(context: Context, settings: NoSettings) -> Planned:
    """Plan the search, and estimate its seconds (without the time of encoding).

    Raises:
        SettingsError: if a measure cannot be computed with the judgments of the collection.
    """
    check_measures(context.settings.measures, context.collection)
    return Planned(seconds=sum(context.search_seconds(retriever) for retriever in context.models.values()))


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the rankings of each model, and its scores by query and retrieval measure.

    The models are named "before" and "after", or "model" if there is only one.

    Raises:
        EncoderError, AnalysisError: if different texts have the same vector, because every ranking would then be by id
            alone.
    """
    collection, measures = context.collection, context.settings.measures
    searched: dict[str, Retrieval] = {}
    caveats = depth_caveats(measures, len(collection.passages))
    seconds: dict[str, float] = {}
    for side, retriever in context.models.items():
        vectors = context.encoded(retriever).vectors
        stages = context.stages(retriever.name)
        searched[side] = retrieve(vectors, collection, measures, stages.inside("retrieval"))
        refuse_blind(retriever, searched[side], collection)
        stages.ended("retrieval")
        seconds[f"{side}: retrieval"] = stages.seconds["retrieval"]
    scores = {side: ranked.scores for side, ranked in searched.items()}
    runs = {side: ranked.run for side, ranked in searched.items()}
    frames = query_frames(scores, runs, collection, flip_measure(measures)) if context.is_pair else {}
    facts = {"depth": depth(measures)}
    return Measurement(scores=scores, frames=frames, facts=facts, caveats=tuple(caveats), seconds=seconds, runs=runs)


INSTRUMENT = Instrument(refusal, plan, measure)
