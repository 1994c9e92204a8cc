"""Choose the candidate passages of the probes by the study's protocol: a relevant passage and hard negatives."""

from retroscope.collection.collection import Collection
from retroscope.collection.negatives import GIVEN, MinedNegatives
from retroscope.collection.records import Candidates
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.errors import AnalysisError
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tasks import build_task, repeated


def choices_of(negatives: MinedNegatives, settings: ProbeSettings, protocol: str) -> tuple[Candidates, ...]:
    """Return every pair (query, relevant passage) with its hard negatives.

    Under the published protocol, negatives that the data supply are repeated until each pair has enough for the largest
    N (number of candidate passages).
    """
    pairs = pairs_of(negatives, protocol)
    if protocol == PUBLISHED_PROTOCOL and negatives.how == GIVEN:
        return repeated(pairs, max(settings.passages) - 1)
    return pairs


def pairs_of(negatives: MinedNegatives, protocol: str) -> tuple[Candidates, ...]:
    """Return every pair (query, relevant passage) with its hard negatives.

    Under the published protocol, return one entry for each row of the source file, if its rows supply the negatives.
    """
    return negatives.rows if protocol == PUBLISHED_PROTOCOL and negatives.rows else negatives.candidates


def too_few_choices(choices: tuple[Candidates, ...], collection: Collection, settings: ProbeSettings) -> str:
    """Return why the probe examples are too few to be split for every seed, and which options may help.

    Return "" if there are enough.
    """
    passage_texts = collection.texts_of_passages(choices)
    try:
        task = build_task(
            choices,
            max(settings.passages),
            collection.query_texts,
            passage_texts=passage_texts,
            as_given=settings.rules.as_given,
        )
        for seed in settings.seed_values:
            settings.rules.split(task, seed)
    except AnalysisError as error:
        more = (
            "more queries (--limit-queries), fewer candidates of each query (--passages) or more stored negatives of "
            "each query (negatives.pool) may help"
        )
        return f"{error.what}; {more}"
    return ""
