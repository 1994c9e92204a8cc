"""Retroscope: what fine-tuning changed in a dense retriever, and what was already there.

A study in Python:

    import retroscope as rs

    nq = rs.load_collection("beir:data/nq")
    before = rs.load_retriever("bert-base-uncased", pooling="mean")
    after = rs.load_retriever("facebook/contriever", pooling="mean")
    study = rs.compare(before, after, nq)
    study.report("runs/contriever")

Names are imported when they are first used, so that `retroscope --help` does not wait for torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retroscope.analyses.analysis import NoSettings as NoSettings
    from retroscope.analyses.baselines.settings import BaselineSettings as BaselineSettings
    from retroscope.analyses.erasure.settings import ErasureSettings as ErasureSettings
    from retroscope.analyses.heads.settings import HeadSettings as HeadSettings
    from retroscope.analyses.neurons.ablation.curves import ablation_curves as ablation_curves
    from retroscope.analyses.neurons.attribute import attribute as attribute
    from retroscope.analyses.neurons.result import AblationCurves as AblationCurves
    from retroscope.analyses.neurons.settings import NeuronAblationSettings as NeuronAblationSettings
    from retroscope.analyses.neurons.settings import NeuronsSettings as NeuronsSettings
    from retroscope.analyses.patching.settings import PatchingSettings as PatchingSettings
    from retroscope.analyses.retention.settings import RetentionSettings as RetentionSettings
    from retroscope.analyses.transplants.settings import SweepSettings as SweepSettings
    from retroscope.analyses.vocabulary.settings import VocabularySettings as VocabularySettings
    from retroscope.analyses.weights.diff import diff as diff
    from retroscope.analyses.weights.settings import WeightSettings as WeightSettings
    from retroscope.attribution.result import NeuronAttribution as NeuronAttribution
    from retroscope.attribution.settings import AttributionSettings as AttributionSettings
    from retroscope.collection.collection import Collection as Collection
    from retroscope.collection.collection import make_collection as make_collection
    from retroscope.collection.loading import load_collection as load_collection
    from retroscope.collection.negatives import hard_negatives as hard_negatives
    from retroscope.collection.records import Candidates as Candidates
    from retroscope.collection.records import Judgment as Judgment
    from retroscope.collection.records import Passage as Passage
    from retroscope.collection.records import Query as Query
    from retroscope.collection.world.people import WorldSettings as WorldSettings
    from retroscope.collection.world.world import World as World
    from retroscope.collection.world.world import make_world as make_world
    from retroscope.drift.by_layer import representation_drift as representation_drift
    from retroscope.drift.settings import DriftSettings as DriftSettings
    from retroscope.drift.settings import ShiftSettings as ShiftSettings
    from retroscope.encoders.checks.selftest import self_test as self_test
    from retroscope.encoders.encode import encode_layers as encode_layers
    from retroscope.encoders.encoder import Encoder as Encoder
    from retroscope.encoders.encoder import Retriever as Retriever
    from retroscope.encoders.loading import load_encoder as load_encoder
    from retroscope.encoders.loading import load_retriever as load_retriever
    from retroscope.encoders.random_weights import with_random_weights as with_random_weights
    from retroscope.encoders.recipe import Recipe as Recipe
    from retroscope.encoders.settings import LoadSettings as LoadSettings
    from retroscope.errors import RetroscopeError as RetroscopeError
    from retroscope.inputs.settings import DataSettings as DataSettings
    from retroscope.inputs.settings import ModelSettings as ModelSettings
    from retroscope.inputs.settings import NegativesSettings as NegativesSettings
    from retroscope.inputs.settings import StudySettings as StudySettings
    from retroscope.knowledge.editing.settings import EditSettings as EditSettings
    from retroscope.knowledge.settings import ReadoutSettings as ReadoutSettings
    from retroscope.probing.grid import probe as probe
    from retroscope.probing.options import ConcatTraining as ConcatTraining
    from retroscope.probing.settings import ProbeSettings as ProbeSettings
    from retroscope.representations.represent import represent as represent
    from retroscope.representations.settings import ExtractionSettings as ExtractionSettings
    from retroscope.retrieval.retrieve import retrieve as retrieve
    from retroscope.retrieval.retrieve import retrieve_layers as retrieve_layers
    from retroscope.scores import Scores as Scores
    from retroscope.statistics.comparison import compare_scores as compare_scores
    from retroscope.statistics.difference import Difference as Difference
    from retroscope.statistics.resampling.intervals import IntervalSettings as IntervalSettings
    from retroscope.statistics.settings import ComparisonSettings as ComparisonSettings
    from retroscope.statistics.summaries import summarise as summarise
    from retroscope.study.cache.care import clean_cache as clean_cache
    from retroscope.study.cache.care import repair_cache as repair_cache
    from retroscope.study.cache.care import shrink_cache as shrink_cache
    from retroscope.study.cache.care import verify_cache as verify_cache
    from retroscope.study.cache.entries import cache_entries as cache_entries
    from retroscope.study.doctor.diagnosis import diagnose as diagnose
    from retroscope.study.planning.plan import plan_study as plan_study
    from retroscope.study.protocols import study_settings as study_settings
    from retroscope.study.run import compare as compare
    from retroscope.study.run import measure_study as measure_study
    from retroscope.study.run import run_study as run_study
    from retroscope.study.several.compare_all import compare_all as compare_all
    from retroscope.study.several.study_set import StudySet as StudySet
    from retroscope.study.several.study_set import load_set as load_set
    from retroscope.study.study import Study as Study
    from retroscope.study.study import load_study as load_study
    from retroscope.study.training.grid_settings import GridSettings as GridSettings
    from retroscope.study.training.settings import EditStudySettings as EditStudySettings
    from retroscope.study.training.settings import PretrainStudySettings as PretrainStudySettings
    from retroscope.surgery.reinitialise import reinitialise as reinitialise
    from retroscope.training.pretraining.settings import PretrainingSettings as PretrainingSettings
    from retroscope.training.settings import LoraSettings as LoraSettings
    from retroscope.training.settings import TrainingSettings as TrainingSettings

_HOMES = {
    "AblationCurves": "analyses.neurons.result",
    "NeuronAblationSettings": "analyses.neurons.settings",
    "AttributionSettings": "attribution.settings",
    "BaselineSettings": "analyses.baselines.settings",
    "Candidates": "collection.records",
    "Collection": "collection.collection",
    "ComparisonSettings": "statistics.settings",
    "ConcatTraining": "probing.options",
    "DataSettings": "inputs.settings",
    "Difference": "statistics.difference",
    "DriftSettings": "drift.settings",
    "ShiftSettings": "drift.settings",
    "Encoder": "encoders.encoder",
    "ExtractionSettings": "representations.settings",
    "ErasureSettings": "analyses.erasure.settings",
    "HeadSettings": "analyses.heads.settings",
    "PatchingSettings": "analyses.patching.settings",
    "ReadoutSettings": "knowledge.settings",
    "RetentionSettings": "analyses.retention.settings",
    "VocabularySettings": "analyses.vocabulary.settings",
    "GridSettings": "study.training.grid_settings",
    "IntervalSettings": "statistics.resampling.intervals",
    "Judgment": "collection.records",
    "LoadSettings": "encoders.settings",
    "LoraSettings": "training.settings",
    "ModelSettings": "inputs.settings",
    "NegativesSettings": "inputs.settings",
    "NeuronAttribution": "attribution.result",
    "NeuronsSettings": "analyses.neurons.settings",
    "NoSettings": "analyses.analysis",
    "Passage": "collection.records",
    "PretrainStudySettings": "study.training.settings",
    "EditSettings": "knowledge.editing.settings",
    "EditStudySettings": "study.training.settings",
    "PretrainingSettings": "training.pretraining.settings",
    "ProbeSettings": "probing.settings",
    "Query": "collection.records",
    "Recipe": "encoders.recipe",
    "Retriever": "encoders.encoder",
    "RetroscopeError": "errors",
    "Scores": "scores",
    "Study": "study.study",
    "StudySet": "study.several.study_set",
    "StudySettings": "inputs.settings",
    "SweepSettings": "analyses.transplants.settings",
    "TrainingSettings": "training.settings",
    "WeightSettings": "analyses.weights.settings",
    "World": "collection.world.world",
    "WorldSettings": "collection.world.people",
    "ablation_curves": "analyses.neurons.ablation.curves",
    "attribute": "analyses.neurons.attribute",
    "cache_entries": "study.cache.entries",
    "clean_cache": "study.cache.care",
    "compare": "study.run",
    "compare_all": "study.several.compare_all",
    "compare_scores": "statistics.comparison",
    "diagnose": "study.doctor.diagnosis",
    "diff": "analyses.weights.diff",
    "encode_layers": "encoders.encode",
    "hard_negatives": "collection.negatives",
    "load_collection": "collection.loading",
    "load_encoder": "encoders.loading",
    "load_set": "study.several.study_set",
    "load_retriever": "encoders.loading",
    "load_study": "study.study",
    "make_collection": "collection.collection",
    "make_world": "collection.world.world",
    "plan_study": "study.planning.plan",
    "probe": "probing.grid",
    "reinitialise": "surgery.reinitialise",
    "repair_cache": "study.cache.care",
    "represent": "representations.represent",
    "representation_drift": "drift.by_layer",
    "retrieve": "retrieval.retrieve",
    "retrieve_layers": "retrieval.retrieve",
    "run_study": "study.run",
    "measure_study": "study.run",
    "self_test": "encoders.checks.selftest",
    "study_settings": "study.protocols",
    "shrink_cache": "study.cache.care",
    "summarise": "statistics.summaries",
    "verify_cache": "study.cache.care",
    "with_random_weights": "encoders.random_weights",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("retroscope")
    if name not in _HOMES:
        raise AttributeError(f"module 'retroscope' has no attribute {name!r}")
    return getattr(import_module(f"retroscope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
