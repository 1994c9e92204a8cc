"""The probe `cosine`: the cosine of query and passage, without training."""

from dataclasses import replace

from torch.nn.functional import normalize

from retroscope.probing.probes.dot import dot
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def cosine(trial: ProbeTrial) -> ProbeOutcome:
    """Choose the passage with the largest cosine to the query, without fitting."""
    return dot(replace(trial, queries=normalize(trial.queries), passages=normalize(trial.passages)))
