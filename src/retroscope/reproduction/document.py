"""Types of the document `results.json` of a reproduction."""

from typing import TypedDict


class PointFacts(TypedDict):
    """One published point and our value (see `points.PointResult`)."""

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
    """One accuracy under the corrected protocol, with its interval."""

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

    `share` is the mean over examples, None without examples. `dropped` counts the active neurons that the published
    maps leave out.
    """

    part: str
    layer: int
    neurons: int
    active: int
    share: float | None
    dropped: int


class NeuronFacts(NeuronCounts):
    """Counts of active neurons, with figure, model, protocol and number of examples."""

    figure: int
    model: str
    protocol: str
    examples: int
    noise: float | None
    made_up: bool


class RulingFacts(TypedDict):
    """The outcome of one claim for one set of numbers (see `claims.Ruling`)."""

    numbers: str
    outcome: str
    value: float | None
    low: float | None
    high: float | None
    what: str


class ClaimFacts(TypedDict):
    """One claim of the paper, its rule, and its outcomes for three sets of numbers."""

    name: str
    claim: str
    figure: int
    model: str
    statistic: str
    rule: str
    rulings: list[RulingFacts]


class MeasuredEffectFacts(TypedDict):
    """One measured effect of a defect of the published protocol, or of a difference from it."""

    of: str
    quantity: str
    value: float | None
    made_up: bool


class ExhibitFacts(TypedDict):
    """One defect of the paper's protocol, or difference from it, with measured effects (see `exhibits.Exhibit`)."""

    name: str
    kind: str
    title: str
    published: str
    corrected: str
    measure: str
    effects: list[MeasuredEffectFacts]


class TrialFacts(TypedDict):
    """One trial: the commits of its model and data, and whether these are made up."""

    name: str
    commits: dict[str, str]
    made_up: bool


class PointCounts(TypedDict):
    """Numbers of compared points, and of points outside their single limit."""

    compared: int
    beyond: int


class Uncorrected(PointCounts):
    """Numbers of compared points of one figure, and of points outside their single limit."""

    figure: int


class Bracket(TypedDict):
    """The number of probe examples that the published stars imply."""

    low: float
    high: float


class Results(TypedDict):
    """The whole document of a reproduction's results.

    `choices` is by data set, `states` counts points by state, and `made_up` is true if any trial is made up.
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
