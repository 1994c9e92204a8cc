"""The type of one row in a table of probe accuracies, with JSON-like values. This module does not import torch."""

from typing import NotRequired, TypedDict


class ProbeRecord(TypedDict):
    """The accuracy of one probe under one control, at one number N of candidates and one layer, with its interval.

    `n_passages` is N. `ci_low` and `ci_high` are the ends of the interval over queries. `seed_sd` is the standard
    deviation of the accuracy over seeds. `train_accuracy` is None if the probe is not fitted. `selectivity` is None for
    every control but "none". `side` is the name of the model in a comparison.
    """

    side: NotRequired[str]
    model: str
    probe: str
    control: str
    n_passages: int
    layer: int
    accuracy: float
    ci_low: float
    ci_high: float
    train_accuracy: float | None
    seeds: int
    seed_sd: float
    layer_name: str
    selectivity: float | None
    n_queries: int
