"""The probe `cosine` chooses the candidate with the largest cosine to the query. It is not trained."""

from dataclasses import replace

from torch.nn.functional import normalize

from retroscope.probing.probes.dot import dot
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def cosine(trial: ProbeTrial) -> ProbeOutcome:
    """Return the accuracy of choosing the candidate with the largest cosine to the query."""
    return dot(replace(trial, queries=normalize(trial.queries), passages=normalize(trial.passages)))
