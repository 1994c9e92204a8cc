"""Types of the values in `results.json`, the results of a reproduction."""

from typing import TypedDict


class PointFacts(TypedDict):
    """One published accuracy and ours, with the tolerance and the outcome of their comparison.

    See `points.PointResult`.
    """

    figure: int
    data: str
    model: str
    passages: int
    layer: int
    accuracy: float
    star: bool
    ours: float | None
    error: float | None
    tolerance: float | None
    single_limit: float | None
    state: str
    reason: str


class CorrectedFacts(TypedDict):
    """One accuracy that we measured under the corrected protocol, with its interval."""

    figure: int
    model: str
    probe: str
    control: str
    passages: int
    layer: int
    accuracy: float
    low: float
    high: float


class NeuronCounts(TypedDict):
    """Counts of active neurons in one FFN matrix of one layer.

    `neurons` counts all neurons, and `active` those that at least one example activates. `share` is the share of the
    neurons that one example activates, averaged over examples; None without examples. `dropped` counts the active
    neurons that the published heat maps leave out.
    """

    part: str
    layer: int
    neurons: int
    active: int
    share: float | None
    dropped: int


class NeuronFacts(NeuronCounts):
    """Counts of active neurons, with the figure, model, protocol and number of examples that they belong to.

    `noise` is the number of examples whose attribution is only rounding error.
    """

    figure: int
    model: str
    protocol: str
    examples: int
    noise: float | None
    made_up: bool


class RulingFacts(TypedDict):
    """The outcome of testing one claim on one set of numbers: the published ones, or ours (see `claims.Ruling`)."""

    numbers: str
    outcome: str
    value: float | None
    low: float | None
    high: float | None
    what: str


class ClaimFacts(TypedDict):
    """One claim of the paper with its rule, and its outcomes by the published numbers and by our measurements."""

    name: str
    claim: str
    figure: int
    model: str
    statistic: str
    rule: str
    rulings: list[RulingFacts]


class MeasuredEffectFacts(TypedDict):
    """One measured effect of a defect of the published protocol, or of a difference from it (see `MeasuredEffect`)."""

    of: str
    quantity: str
    value: float | None
    made_up: bool


class ExhibitFacts(TypedDict):
    """One defect of the published protocol, or difference from it, with measured effects (see `exhibits.Exhibit`)."""

    name: str
    kind: str
    title: str
    published: str
    corrected: str
    measure: str
    effects: list[MeasuredEffectFacts]


class TrialFacts(TypedDict):
    """One trial (a model on a data set under a protocol): its name, the commits used, and whether these are made up."""

    name: str
    commits: dict[str, str]
    made_up: bool


class PointCounts(TypedDict):
    """How many published accuracies (points) were compared, and how many differ by more than their `single_limit`."""

    compared: int
    beyond: int


class Uncorrected(PointCounts):
    """How many accuracies of one figure were compared, and how many differ by more than their `single_limit`."""

    figure: int


class Bracket(TypedDict):
    """The smallest and largest number of probe examples that agree with the paper's significance stars."""

    low: float
    high: float


class Results(TypedDict):
    """The whole content of `results.json`.

    `choices` maps each data set to the number of probe examples that the paper's stars imply. `states` counts the
    points in each state. `made_up` is true if the weights or texts of any trial are made up.
    """

    schema: int
    study: str
    scale: str
    made_up: bool
    versions: dict[str, str]
    trials: list[TrialFacts]
    choices: dict[str, Bracket]
    states: dict[str, int]
    uncorrected: list[Uncorrected]
    points: list[PointFacts]
    corrected: list[CorrectedFacts]
    neurons: list[NeuronFacts]
    claims: list[ClaimFacts]
    exhibits: list[ExhibitFacts]
