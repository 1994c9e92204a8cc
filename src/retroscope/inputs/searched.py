"""Search a collection with a retriever, for analyses that need only the retrieval scores."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.encoding import checked, doubts, refuse_blind
from retroscope.progress import Progress, Stages
from retroscope.representations.represent import extract_towers, plan_towers
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores


def searched(
    retriever: Retriever,
    collection: Collection,
    measures: Sequence[str],
    cache: Path,
    progress: Progress | None = None,
) -> Scores:
    """Encode and search a collection. Return the score of each query by each measure, (query, measure).

    Raises:
        EncoderError, AnalysisError: if different texts have the same vector, because every ranking would be by id
            alone.
    """
    self_tests = checked(retriever)
    towers = plan_towers(retriever, collection, cache)
    vectors = extract_towers(retriever, towers, Stages(retriever.name, progress).of_towers())
    ranked = retrieve(replace(vectors, warnings=doubts(self_tests)), collection, tuple(measures))
    refuse_blind(retriever, ranked, collection)
    return ranked.scores
