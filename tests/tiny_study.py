"""A small trained pair and collection on disk, and settings under which a whole comparison takes seconds."""

from dataclasses import dataclass
from pathlib import Path

import torch

from retroscope.analyses.neurons.settings import NeuronAblationSettings, NeuronsSettings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.attribution.settings import AttributionSettings
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.settings import ComparisonSettings
from tiny_pair import make_tiny_pair

PROBES, CONTROLS = ("cosine", "passage_only"), ("none", "shuffled_queries", "random_weights")
ANALYSES = {
    "probes": ProbeSettings(probes=PROBES, controls=CONTROLS, passages=(2, 3), seeds=2),
    "neurons": NeuronsSettings(
        attribution=AttributionSettings(tower="both", limit=6, quadrature="gauss:2"),
        ablation=NeuronAblationSettings(draws=2),
    ),
    "transplants": SweepSettings(measures=("RR@10",), passages=0, draws=8),
}
QUICK = StudySettings(
    measures=("RR@10", "R@10"),
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses=ANALYSES,
)


@dataclass(frozen=True)
class Tiny:
    """Folders of the pair, and the spec of its collection."""

    backbone: Path
    retriever: Path
    collection: Path

    @property
    def data(self) -> str:
        return f"beir:{self.collection}"


def make_tiny(folder: Path) -> Tiny:
    """Two blocks of width 32, 90 queries, 180 passages."""
    pair = make_tiny_pair(folder, seed=0)
    return Tiny(pair.backbone, pair.retriever, pair.collection)


def further_trainings(tiny: Tiny, home: Path) -> tuple[Retriever, ...]:
    """Return two disturbed copies of the retriever, saved below `home` and read again: other weights, own vectors."""
    copies = []
    for seed in (1, 2):
        copy = load_retriever(tiny.retriever, pooling="mean")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in copy.passage.backbone.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        folder = home / f"training-{seed}"
        copy.passage.backbone.save_pretrained(folder)
        copy.passage.tokenizer.save_pretrained(folder)
        copies.append(load_retriever(folder, pooling="mean"))
    return tuple(copies)
