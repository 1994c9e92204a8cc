"""A small trained pair and collection on disk, and settings under which a whole comparison takes seconds."""

from dataclasses import dataclass
from pathlib import Path

from retroscope.analyses.neurons.settings import AblationSettings, NeuronsSettings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.attribution.settings import NeuronSettings
from retroscope.inputs.settings import StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.settings import ComparisonSettings
from tiny_pair import make_tiny_pair

PROBES, CONTROLS = ("cosine", "passage_only"), ("none", "shuffled_queries", "random_weights")
ANALYSES = {
    "probes": ProbeSettings(probes=PROBES, controls=CONTROLS, passages=(2, 3), seeds=2),
    "neurons": NeuronsSettings(
        attribution=NeuronSettings(limit=6, quadrature="gauss:2"), ablation=AblationSettings(draws=2)
    ),
    "transplants": SweepSettings(measures=("RR@10",), shares=()),
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
