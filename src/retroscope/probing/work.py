"""Estimate the time that probes take, from the numbers of probe examples, features and fits."""

from retroscope.probing.controls import CONTROLS
from retroscope.probing.mdl import BLOCKS
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tally import MDL

# By benchmarks/probe_grid.py (MiniLM) and benchmarks/plan.py (the demo) on one core of 1.2e11 operations a second.
FIT = 0.01  # seconds of a fit, however small
ITERATIONS = 9.0  # of a fit, each two products with the features: the mean over ridges, most of which converge early
NARROW = 3.0  # times that a product with few columns takes longer than a square one of as many operations
SOFTMAX = 2e-8  # seconds for each score of a candidate in an iteration: softmax and line search
EIGEN = 20.0  # operations for each features^3: the eigenbasis of the Hessian at 0
TRAIN = 0.31  # share of the choices that a split trains on: the others' passages are in another part
CODED = sum(BLOCKS[:-1])  # choices that the fits of the code length train on, of all


def probes_seconds(settings: ProbeSettings, choices: int, width: int, layers: int, product_rate: float) -> float:
    """Estimate how many seconds all probes take on one model, over all controls, numbers N, seeds and layers.

    Args:
        choices: number of probe examples before they are split.
        width: number of dimensions of a vector.
        layers: number of layers that are probed.
        product_rate: operations per second of a float32 product (`encoders.work.product_rate`).
    """
    features = {"passage_only": width, "elementwise": width, "bilinear": width + settings.rank**2}
    sizes = len(settings.passages) * len(settings.ridge)
    seconds = 0.0
    for controls in _views(settings):
        columns = controls * sizes
        for name in settings.chosen_probes:
            if name in features:
                seconds += _fit(TRAIN * choices, max(settings.passages), features[name], columns, product_rate)
            elif name == MDL:
                seconds += (len(BLOCKS) - 2) * (FIT + EIGEN * width**3 / product_rate)
                seconds += _fit(CODED * choices, max(settings.passages), width, columns, product_rate)
    return layers * len(settings.seed_values) * seconds


def _fit(choices: float, candidates: int, features: int, columns: int, product_rate: float) -> float:
    """Estimate how many seconds one probe's fit takes, over all columns (combinations of control, N and ridge)."""
    rows = choices * candidates
    operations = EIGEN * features**3 + 2 * rows * features**2 + ITERATIONS * 4 * NARROW * rows * features * columns
    return FIT + operations / product_rate + ITERATIONS * SOFTMAX * rows * columns


def _views(settings: ProbeSettings) -> list[int]:
    """Return the size of each group of controls that are fitted together because they use the same queries and weights.

    See `probing.controls.views`.
    """
    grouped: dict[tuple[bool, object], int] = {}
    for name in settings.chosen_controls:
        control = CONTROLS[name]
        key = (control.random_weights, control.queries)
        grouped[key] = grouped.get(key, 0) + 1
    return list(grouped.values())
