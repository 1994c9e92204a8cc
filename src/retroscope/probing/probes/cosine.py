"""cos(q, p): `dot` without the lengths of the passages."""

from dataclasses import replace

from torch.nn.functional import normalize

from retroscope.probing.probes.dot import dot
from retroscope.probing.trial import ProbeOutcome, ProbeTrial


def cosine(trial: ProbeTrial) -> ProbeOutcome:
    """Does the relevant passage point most nearly where the query does?"""
    return dot(replace(trial, queries=normalize(trial.queries), passages=normalize(trial.passages)))
