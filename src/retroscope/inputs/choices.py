"""The candidates of the probes: a relevant passage and the study's hard negatives, as the protocol asks."""

from collections.abc import Mapping

from retroscope.collection.negatives import GIVEN, MinedNegatives
from retroscope.collection.records import Candidates
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tasks import build_task, repeated


def choices_of(negatives: MinedNegatives, settings: ProbeSettings, protocol: str) -> tuple[Candidates, ...]:
    """Return every (query, relevant passage) pair with its negatives.

    Under the published protocol those that came with the data are repeated up to the number that the largest N needs.
    """
    if protocol == "ielab-2025" and negatives.how == GIVEN:
        return repeated(negatives.candidates, max(settings.passages) - 1)
    return negatives.candidates


def check_splits(choices: tuple[Candidates, ...], texts: Mapping[str, int], settings: ProbeSettings) -> None:
    """Split the choices with every seed.

    Args:
        texts: query id -> number of its distinct text.

    Raises:
        AnalysisError: if there are too few for the probes.
    """
    task = build_task(choices, max(settings.passages), texts)
    for seed in settings.seed_values:
        settings.rules.split(task, seed)
