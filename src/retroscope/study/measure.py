"""Everything that is measured about one retriever on one collection."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.selftest import SelfTest, check_told_apart
from retroscope.encoders.twin import random_twin
from retroscope.inputs.encoding import doubts, refuse_blind, tested
from retroscope.probing.grid import probe
from retroscope.probing.result import ProbeResult
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tally import MDL
from retroscope.progress import Progress, Stages
from retroscope.representations.represent import extract_towers, plan_towers
from retroscope.representations.store import RetrieverRepresentations
from retroscope.retrieval.retrieve import Retrieval, retrieve, retrieve_layers
from retroscope.scores import Scores
from retroscope.study.settings import StudySettings

BARE_LAYERS, BARE_PROBING = "bare_layers", "bare_probing"  # of layers without the final norm on each


@dataclass(frozen=True, eq=False)
class Measured:
    """One side of a comparison.

    Attributes:
        self_tests: of each tower.
        vectors: layers with the final norm on each, where the model has one and the settings do not say otherwise.
        retrieval: by the final vectors, with the run.
        layers: retrieval by every layer's vectors; None where it was not asked for.
        probing: None where it was not asked for.
        bare_layers, bare_probing: the same of the layers as the blocks leave them (no controls); None where `vectors`
            are these.
        seconds: stage -> time it took.
    """

    retriever: Retriever
    self_tests: dict[str, list[SelfTest]]
    vectors: RetrieverRepresentations
    retrieval: Retrieval
    layers: Scores | None = None
    probing: ProbeResult | None = None
    bare_layers: Scores | None = None
    bare_probing: ProbeResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, Scores]:
        """Analysis -> its scores, of those that were made."""
        found: dict[str, Scores | None] = {"retrieval": self.retrieval.scores, "layers": self.layers}
        if self.probing is not None:
            read = self.probing.scores
            found |= {"probing": read if read.values.size else None, "mdl": self.probing.mdl}  # mdl has no accuracies
        found[BARE_LAYERS] = self.bare_layers
        found[BARE_PROBING] = None if self.bare_probing is None else self.bare_probing.scores
        return {name: scores for name, scores in found.items() if scores is not None}


def ranking_caveats(name: str, side: Measured) -> list[str]:
    """Layers whose vectors rank by id alone, in words."""
    known = side.vectors.warnings
    return [f"{name}: {w}" for w in (side.layers.warnings if side.layers is not None else ()) if w not in known]


def encode(
    retriever: Retriever, collection: Collection, cache: Path, settings: StudySettings, stages: Stages
) -> tuple[RetrieverRepresentations, dict[str, list[SelfTest]]]:
    """Self-tests first, then every layer's vectors, marked with what failed.

    Raises:
        EncoderError: if a tower gives different texts one vector.
    """
    for encoder in {id(e): e for e in (retriever.query, retriever.passage)}.values():
        check_told_apart(encoder)
    self_tests = tested(retriever)
    stages.ended("self-tests")
    towers = plan_towers(retriever, collection, cache, settings.extraction)

    def told(tower: str, done: int, total: int) -> None:
        show = stages.inside(f"encoding {tower} texts")
        if show:
            show(done, total)

    vectors = extract_towers(retriever, towers, told)
    stages.ended("encoding")
    return replace(vectors, warnings=doubts(self_tests)), self_tests


def twin_of(
    retriever: Retriever, collection: Collection, cache: Path, settings: StudySettings, progress: Progress | None
) -> RetrieverRepresentations | None:
    """The vectors of a random-weight twin, when that control is asked for."""
    if "random_weights" not in settings.probing.chosen_controls:
        return None
    stages = Stages(f"{retriever.name} (random weights)", progress)
    vectors, _ = encode(random_twin(retriever, seed=0), collection, cache, settings, stages)
    return vectors


def measure(
    retriever: Retriever,
    collection: Collection,
    negatives: MinedNegatives | None,
    settings: StudySettings,
    *,
    cache: Path,
    twin: RetrieverRepresentations | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Encode, retrieve, and, where there are negatives, probe.

    Args:
        retriever: what is measured.
        collection: on what.
        negatives: of the probes; None leaves probing out.
        settings: of every room.
        cache: folder of the vector stores.
        twin: vectors of a random-weight twin, for that control.
        progress: told (what, done, total).

    Raises:
        EncoderError, AnalysisError: if different texts have one vector, so that every ranking would be by id alone.
    """
    stages = Stages(retriever.name, progress)
    vectors, self_tests = encode(retriever, collection, cache, settings, stages)
    measures = settings.retrieval.measures
    found = retrieve(vectors, collection, measures)
    refuse_blind(retriever, found, collection)
    bare, layers, bare_layers = vectors.bare(), None, None
    if settings.retrieval.layers:
        layers = retrieve_layers(vectors, collection, measures, stages.inside("retrieval by layer"))
        if bare is not None:
            bare_layers = retrieve_layers(bare, collection, measures, stages.inside("retrieval by layer, no norm"))
    stages.ended("retrieval")
    probed, bare_probed = None, None
    if negatives is not None:
        told = stages.inside("probing")
        texts = collection.query_texts
        probed = probe(vectors, negatives.candidates, settings.probing, twin=twin, texts=texts, progress=told)
        plainly = _without_controls(settings.probing)
        if bare is not None and plainly is not None:
            told = stages.inside("probing, no norm")
            bare_probed = probe(bare, negatives.candidates, plainly, texts=texts, progress=told)
        stages.ended("probing")
    return Measured(
        retriever, self_tests, vectors, found, layers, probed, bare_layers, bare_probed, seconds=stages.seconds
    )


def _without_controls(settings: ProbeSettings) -> ProbeSettings | None:
    """The probes themselves, for layers that stand beside others; None where only code lengths are asked for."""
    probes = tuple(name for name in settings.chosen_probes if name != MDL)
    return replace(settings, probes=probes, controls=("none",)) if probes else None
