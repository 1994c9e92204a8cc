"""Estimate what it costs to reproduce a published figure: downloads, disk, memory and time. No torch.

Encoding takes two operations for each weight of the blocks and each token. Attribution takes three times as many
operations for each node of its path integral and each FFN matrix. It runs only the blocks above the matrix, which are
half of all blocks on average. The real speed may differ by a factor of a few, so run a few queries first
(`--limit-queries`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from retroscope.number_format import estimate
from retroscope.reproduction.published import NEURONS, PROBES, PublishedFigure, PublishedModel, PublishedStudy
from retroscope.reproduction.trials import CORRECTED, PUBLISHED, ModelTrial, Scale, trials_of

RATES = {"cpu": 2e11, "cuda": 2e13}  # operations a second: two cores, and one data-centre GPU in float32
TEXTS = 6  # of a row: a query, its passage, four negatives
FLOAT = 4  # bytes
GIGA = 1e9
PUBLISHED_TOKENS = {"query": 128, "passage": 512}  # padded to the maximum
USUAL_TOKENS = {"query": 16, "passage": 150}
NODES = {PUBLISHED: 20, CORRECTED: 8}  # of the attribution's integral
ATTRIBUTED_TEXTS = {PUBLISHED: 1, CORRECTED: 3}  # of an example: a text, or a query, its passage and a negative


@dataclass(frozen=True, kw_only=True)
class FigureCost:
    """Approximate cost of reproducing one figure.

    Attributes:
        figure: number of the figure in the paper.
        downloads, disk, memory: gigabytes to download, to store and to hold in memory.
        seconds: time of encoding and attribution. Probes and statistics take additional time.
    """

    figure: int
    downloads: float
    disk: float
    memory: float
    seconds: float

    def line(self) -> str:
        """Describe the cost in one line."""
        return (
            f"Figure {self.figure}: downloads {_gigabytes(self.downloads)}, disk {_gigabytes(self.disk)}, memory "
            f"{_gigabytes(self.memory)}, time {estimate(self.seconds)}"
        )


def figure_costs(study: PublishedStudy, figures: Sequence[PublishedFigure], scale: Scale) -> list[FigureCost]:
    """Return the cost of each figure as if only this figure were reproduced; together they cost less than the sum."""
    return [figure_cost(study, figure, scale) for figure in figures]


def figure_cost(study: PublishedStudy, figure: PublishedFigure, scale: Scale) -> FigureCost:
    """Return the cost of reproducing one figure under both protocols, the published and the corrected one."""
    data = study.data[figure.data]
    sources = {source for name in figure.models for source in study.models[name].sources}
    trials = trials_of(study, [figure])
    return FigureCost(
        figure=figure.number,
        downloads=data.gigabytes + sum(study.downloads[source] for source in sources),
        disk=sum(_disk(study, trial, scale) for trial in trials),
        memory=max(_memory(study, trial, scale) for trial in trials),
        seconds=sum(_operations(study, trial, scale) for trial in trials) / RATES[scale.device.partition(":")[0]],
    )


def cost_document(costs: Sequence[FigureCost]) -> dict[str, Any]:
    """Return the costs as JSON-like values: {"figures": [one dictionary for each figure]}."""
    return {"figures": [asdict(cost) for cost in costs]}


def _rows(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> int:
    data = study.data[trial.data]
    split = data.splits[trial.kind]
    share = 1.0 if scale.limit_queries is None else min(1.0, scale.limit_queries / data.queries[split])
    return round(data.rows[split] * share)


def _copies(model: PublishedModel, protocol: str) -> int:
    """Return how often a model's texts are encoded: twice if random weights are measured, too, else once."""
    return 2 if model.published_at_random and protocol == PUBLISHED else 1


def _disk(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> float:
    """Estimate how many gigabytes on disk the vectors of all layers take in one measurement (trial)."""
    model = study.models[trial.model]
    if trial.kind == NEURONS:
        return 0.0
    vectors = _rows(study, trial, scale) * TEXTS * (model.blocks + 1) * _copies(model, trial.protocol)
    return vectors * model.width * FLOAT / GIGA


def _memory(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> float:
    """Estimate how many gigabytes of memory the weights and the vectors of one layer take in one trial."""
    model = study.models[trial.model]
    layer = _rows(study, trial, scale) * TEXTS * model.width * FLOAT if trial.kind == PROBES else 0
    return (model.parameters * FLOAT + layer) / GIGA


def _operations(study: PublishedStudy, trial: ModelTrial, scale: Scale) -> float:
    """Estimate the number of floating-point operations of one trial (one model on one data set under one protocol)."""
    model = study.models[trial.model]
    blocks = _block_weights(model)
    tokens = PUBLISHED_TOKENS if trial.protocol == PUBLISHED else USUAL_TOKENS
    if trial.kind == PROBES:
        per_row = tokens["query"] + (TEXTS - 1) * tokens["passage"]
        return 2.0 * blocks * per_row * _rows(study, trial, scale) * _copies(model, trial.protocol)
    texts = scale.examples[trial.protocol] * ATTRIBUTED_TEXTS[trial.protocol]
    passes = 2 * model.blocks * NODES[trial.protocol]
    return passes * 3.0 * blocks * USUAL_TOKENS[trial.tower] * texts


def _block_weights(model: PublishedModel) -> float:
    """Count the weights in the blocks of one encoder: attention, and an FFN of two matrices, or of three if gated."""
    matrices = 3 if model.pooling == "eos" else 2
    return float(model.blocks * (4 * model.width**2 + matrices * model.width * model.inner))


def _gigabytes(value: float) -> str:
    return f"{value:,.0f} GB" if value >= 9.95 else f"{value:.1f} GB"
