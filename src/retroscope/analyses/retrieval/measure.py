"""Search with the final vectors."""

from collections.abc import Mapping

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context, Encoded
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.flips import flip_facts, flip_measure
from retroscope.inputs.encoding import doubts, refuse_blind
from retroscope.inputs.pairing import recipe_differences
from retroscope.inputs.provenance import truncation_caveats
from retroscope.retrieval.measures import depth_caveats
from retroscope.retrieval.retrieve import Retrieval, check_measures, retrieve


def refusal(context: Context, settings: NoSettings) -> str:
    """Return nothing: every retriever retrieves."""
    return ""


def plan(context: Context, settings: NoSettings) -> Planned:
    """Return an empty plan: the vectors are planned for all analyses, and searching them is fast.

    Raises:
        SettingsError: if a measure cannot be computed with the judgments of the collection.
    """
    check_measures(context.settings.measures, context.collection)
    return Planned()


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the scores of every side, (query, measure), as "SIDE", and the rankings.

    Raises:
        EncoderError, AnalysisError: if different texts have one vector, so that every ranking would be by id alone.
    """
    encoded: dict[str, Encoded] = {}
    searched: dict[str, Retrieval] = {}
    seconds: dict[str, float] = {}
    for side, retriever in context.models.items():
        encoded[side] = context.encoded(retriever)
        stages = context.stages(retriever.name)
        searched[side] = retrieve(encoded[side].vectors, context.collection, context.settings.measures)
        refuse_blind(retriever, searched[side], context.collection)
        stages.ended("retrieval")
        seconds |= {f"{side}: {stage}": s for stage, s in {**encoded[side].seconds, **stages.seconds}.items()}
    scores = {side: found.scores for side, found in searched.items()}
    runs = {side: found.run for side, found in searched.items()}
    facts = {}
    if context.is_pair and context.first:
        facts = flip_facts(scores, runs, context.collection, flip_measure(context.settings.measures))
    return Measurement(scores=scores, facts=facts, caveats=_caveats(context, encoded), seconds=seconds, runs=runs)


def _caveats(context: Context, encoded: Mapping[str, Encoded]) -> tuple[str, ...]:
    """What must be known of both models and of their vectors; of the models it is said with the first collection."""
    found = depth_caveats(context.settings.measures, len(context.collection.passages))
    if context.first:
        found += _of_pair(context, encoded)
    for side, one in encoded.items():
        label = side if context.is_pair else context.models[side].name
        if context.first:
            found += [f"{label}: {doubt}" for doubt in doubts(one.self_tests)]
        found += truncation_caveats(label, one.vectors.recipe)
    return tuple(dict.fromkeys(found))


def _of_pair(context: Context, encoded: Mapping[str, Encoded]) -> list[str]:
    """What differs between the two besides the weights, or that nothing does."""
    if not context.is_pair:
        return []
    found = recipe_differences(*context.models.values())
    found += [
        f"{side}: compared by {one.similarity}, {one.similarity_source}, not by its own {one.own_similarity}"
        for side, one in context.models.items()
        if one.own_similarity
    ]
    made = [tuple(one.vectors.recipe[tower]["vectors"] for tower in ("query", "passage")) for one in encoded.values()]
    if made[0] == made[1]:
        found.append("both sides make exactly the same vectors: the same model was given twice")
    return found


INSTRUMENT = Instrument(refusal, plan, measure)
