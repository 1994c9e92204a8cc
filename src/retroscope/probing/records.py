"""The type of one row in a table of probe accuracies, JSON-like. No torch."""

from typing import NotRequired, TypedDict


class ProbeRecord(TypedDict):
    """The accuracy of one probe under one control, at one N and layer, with its interval over queries.

    `seed_sd` is the standard deviation over seeds. `train_accuracy` is None if nothing was fitted, and `selectivity` is
    None under a control. `side` names the model in a comparison.
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
