"""Types of `results.json` of a reproduction: `results` makes it; page, figures and terminal read it."""

from typing import TypedDict


class PointFacts(TypedDict):
    """One published point and ours; see `points.PointResult`."""

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
    """The active neurons of one FFN matrix of one layer.

    `share` is the mean over examples, None without any; `dropped` counts those that the published maps leave out.
    """

    part: str
    layer: int
    neurons: int
    active: int
    share: float | None
    dropped: int


class NeuronFacts(NeuronCounts):
    """The same for a model of a figure, and what it was counted from."""

    figure: int
    model: str
    protocol: str
    examples: int
    noise: float | None
    made_up: bool


class RulingFacts(TypedDict):
    """One claim by one set of numbers; see `claims.Ruling`."""

    numbers: str
    outcome: str
    value: float | None
    low: float | None
    high: float | None
    what: str


class ClaimFacts(TypedDict):
    """One claim of the paper, its rule, and what it comes to by three sets of numbers."""

    name: str
    claim: str
    figure: int
    model: str
    statistic: str
    rule: str
    rulings: list[RulingFacts]


class MeasuredEffectFacts(TypedDict):
    """One number about an exhibit; see `exhibits.MeasuredEffect`."""

    of: str
    quantity: str
    value: float | None
    made_up: bool


class ExhibitFacts(TypedDict):
    """One defect or departure with its measured effects; see `exhibits.Exhibit`."""

    name: str
    kind: str
    title: str
    published: str
    corrected: str
    measure: str
    effects: list[MeasuredEffectFacts]


class TrialFacts(TypedDict):
    """One trial: the commits of what it was read from, and whether that is made up."""

    name: str
    commits: dict[str, str]
    made_up: bool


class PointCounts(TypedDict):
    """Numbers of points that can be compared, and of points beyond the limit of one."""

    compared: int
    beyond: int


class Uncorrected(PointCounts):
    """The same for the points of one figure."""

    figure: int


class Bracket(TypedDict):
    """The number of choices that the published stars imply."""

    low: float
    high: float


class Results(TypedDict):
    """The whole document.

    `choices` is by data set, `states` counts points by state, and `made_up` is true where any trial is.
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
