"""A small trained pair and collection on disk, and settings under which a whole comparison takes seconds."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import BertConfig

from retroscope.attribution.settings import NeuronSettings
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study import demo
from retroscope.study.ablation_settings import AblationSettings
from retroscope.study.settings import RetrievalSettings, StudySettings

PROBES, CONTROLS = ("cosine", "passage_only"), ("none", "shuffled_queries", "random_weights")
QUICK = StudySettings(
    retrieval=RetrievalSettings(measures=("RR@10", "R@10")),
    probing=ProbeSettings(probes=PROBES, controls=CONTROLS, passages=(2, 3), seeds=2),
    neurons=NeuronSettings(limit=6, quadrature="gauss:2"),
    ablation=AblationSettings(draws=2),
    statistics=ComparisonSettings(resamples=200, permutations=200),
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "PEOPLE", 180)
        patch.setattr(demo, "TRAINED", 90)
        patch.setattr(demo, "STEPS", {"pre-training": 10, "fine-tuning": 25})
        patch.setattr(demo, "_shape", _shape)
        pair = demo.make_demo_pair(folder, seed=0)
    return Tiny(pair.backbone, pair.retriever, pair.collection)


def _shape(vocabulary: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        attn_implementation="sdpa",
    )
