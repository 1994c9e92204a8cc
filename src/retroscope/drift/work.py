"""Estimate how long it takes to compare weights and representations, from their shapes, before they are read."""

from collections.abc import Iterable, Sequence

from retroscope.drift.settings import DriftSettings

# Operations, and seconds, by benchmarks/plan.py on one core of 1.2e11 operations a second.
SPECTRUM = 60.0  # operations for each rows x columns x shorter side of a matrix whose spectra are computed
TENSOR = 2e-3  # seconds for each tensor, however small
READ = 1e-8  # seconds for each number of a tensor that is read twice, compared and summed
WHITENING = 60.0  # operations for each width^3, beside two for each passage and width^2
LAYER = 0.05  # seconds for each layer of a tower, however few its texts
PAIR = 2.8e-6  # seconds for each pair of texts: distances are ranked, for every group that the jackknife leaves out
GRAM = 500.0  # operations for each pair of texts and number of their vectors: similarities, likewise


def weights_seconds(shapes: Iterable[Sequence[int]], product_rate: float, *, spectra: bool) -> float:
    """Estimate how many seconds the comparison of tensors of these shapes takes.

    Args:
        product_rate: operations per second of matrix products on this machine.
        spectra: whether ranks and singular directions of the changes are measured.
    """
    seconds = 0.0
    for shape in shapes:
        numbers = 1
        for side in shape:
            numbers *= side
        seconds += TENSOR + READ * numbers
        if spectra and len(shape) > 1:
            rows = numbers // shape[-1]
            seconds += SPECTRUM * numbers * min(rows, shape[-1]) / product_rate
    return seconds


def representations_seconds(
    texts: Sequence[int], layers: int, width: int, settings: DriftSettings, product_rate: float
) -> float:
    """Estimate how many seconds the comparison of two models' vectors takes, over all layers.

    Args:
        texts: how many texts each tower has. At most `settings.texts` of them are compared.
        layers: how many layers each model has.
        width: how many dimensions the vectors have.
        product_rate: operations per second of matrix products on this machine.
    """
    pairs = sum(min(number, settings.texts) ** 2 for number in texts)
    return layers * (LAYER * len(texts) + pairs * (PAIR + GRAM * width / product_rate))


def whitening_seconds(passages: int, width: int, product_rate: float) -> float:
    """Estimate how many seconds it takes to whiten passages and queries by the covariance of the passages."""
    return (2.0 * passages * width**2 + WHITENING * width**3) / product_rate
