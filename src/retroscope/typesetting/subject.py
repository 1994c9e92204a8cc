"""Subject: the models, recipes and collections of a study, which the top of a page shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from retroscope.collection.records import NegativesRecipe
from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.recipe import RecipeFacts
from retroscope.statistics.settings import ComparisonSettings

BEFORE = "before"
AFTER = "after"
MODEL = "model"  # the only one, where nothing is compared


def with_side(name: str, side: str) -> str:
    """Return a model's name with its side, e.g. "e5 (before)", unless the name already contains the side."""
    mark = f" ({side})"
    return name if name.endswith(mark) else f"{name}{mark}"


class ProofFacts(TypedDict):
    """A `LoadingProof` as JSON-like values, as a study's folder stores it."""

    source: str
    loaded: int
    missing: list[str]
    unexpected: list[str]
    counted: bool
    wrapper: str
    notes: list[str]


class SelfTestFacts(TypedDict):
    """A `SelfTest` as JSON-like values. Null stands for a distance that is not finite."""

    name: str
    passed: bool
    value: float | None
    tolerance: float
    detail: str


class TowerFacts(TypedDict):
    """A `Tower` as JSON-like values."""

    role: str
    recipe: RecipeFacts
    proof: ProofFacts
    layer_names: list[str]
    fingerprint: str
    self_tests: list[SelfTestFacts]


class ModelFacts(TypedDict):
    """A `Model` as JSON-like values."""

    name: str
    similarity: str
    towers: list[TowerFacts]


class PendingFacts(TypedDict):
    """An analysis that has not run yet on a collection, as JSON-like values."""

    analysis: str
    collection: str


class RefusedFacts(TypedDict):
    """An analysis that cannot be measured on a collection, with the reason, as JSON-like values."""

    analysis: str
    collection: str
    reason: str


class CollectionRecord(TypedDict):
    """A `CollectionFacts` as JSON-like values. A file of texts has neither mapping nor fingerprint."""

    name: str
    source: str
    counts: dict[str, int]
    mapping: NotRequired[dict[str, str]]
    negatives: NotRequired[NegativesRecipe]
    fingerprint: NotRequired[str]


class StudyFacts(TypedDict):
    """The facts of a study other than its measurements, as JSON-like values (the content of `study.json`).

    "trainings" is the number of trainings of the retriever, and "timings" has the seconds of every stage.
    """

    schema: int
    title: str
    models: dict[str, ModelFacts]
    trainings: int
    collections: list[CollectionRecord]
    caveats: list[str]
    refused: NotRequired[list[RefusedFacts]]
    too_long: NotRequired[list[str]]
    command: str
    versions: dict[str, str]
    timings: dict[str, float]
    not_yet_run: NotRequired[list[PendingFacts]]


@dataclass(frozen=True)
class Tower:
    """Facts about one tower: recipe, evidence of loading, layers, self-tests.

    Attributes:
        role: "query", "passage", or "query and passage" when one encoder serves both.
        recipe: recipe, with the source of each field.
        proof: evidence that its weights are the checkpoint's.
        layer_names: labels of layers 0..L, e.g. "6 (post-norm)".
        fingerprint: SHA-256 of weights, tokenizer and recipe.
        self_tests: the checks of this tower.
    """

    role: str
    recipe: RecipeFacts
    proof: ProofFacts
    layer_names: tuple[str, ...]
    fingerprint: str
    self_tests: tuple[SelfTest, ...] = ()


@dataclass(frozen=True)
class Model:
    """Facts about one model: its name, its towers, and its similarity ("dot" or "cosine")."""

    name: str
    similarity: str
    towers: tuple[Tower, ...]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of the layers, the same in both towers."""
        return self.towers[0].layer_names if self.towers else ()

    @property
    def failed_tests(self) -> tuple[str, ...]:
        """Return the self-tests that failed, as "tower: test"."""
        return tuple(f"{tower.role} tower: {t.name}" for tower in self.towers for t in tower.self_tests if not t.passed)


@dataclass(frozen=True)
class CollectionFacts:
    """Facts about one collection: name, source, counts and fields.

    Attributes:
        name: name in tables.
        source: where it was read from.
        counts: e.g. passages, queries, judged queries, judgments.
        mapping: Retroscope's field -> the field of the source.
        negatives: how the hard negatives of the probes were found.
        fingerprint: SHA-256 over ids, texts and judgments.
    """

    name: str
    source: str
    counts: Mapping[str, int]
    mapping: Mapping[str, str] = field(default_factory=dict)
    negatives: NegativesRecipe = field(default_factory=lambda: NegativesRecipe())
    fingerprint: str = ""


@dataclass(frozen=True)
class Pending:
    """An analysis that a study has not run yet on the named collection."""

    analysis: str
    collection: str


@dataclass(frozen=True)
class Refused:
    """An analysis that cannot be measured on a collection, and the reason."""

    analysis: str
    collection: str
    reason: str


@dataclass(frozen=True, eq=False)
class Subject:
    """The models, collections and settings of a study, as needed by every section.

    Attributes:
        title: title of the report.
        models: "before" (the backbone) and "after" (the retriever fine-tuned from it), or "model" alone.
        collections: the collection on which everything is measured, then the others.
        protocol: "default" or "ielab-2025".
        measures: retrieval measures. The first is the headline.
        statistics: how differences are tested.
        trainings: number of trainings of the retriever in the study, including the retriever itself.
        settings: all settings of the study, JSON-like.
        caveats: what a reader must know before reading a number.
        command: the command line that repeats the study.
        versions: library -> version.
        timings: stage -> seconds.
        not_yet_run: analyses that are still to be run. Empty once the study is finished.
        refused: analyses that cannot be measured with these models and collections.
        too_long: names of the analyses that did not fit into the time of the study.
    """

    title: str
    models: Mapping[str, Model]
    collections: tuple[CollectionFacts, ...]
    protocol: str = "default"
    measures: tuple[str, ...] = ()
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)
    trainings: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    not_yet_run: tuple[Pending, ...] = ()
    refused: tuple[Refused, ...] = ()
    too_long: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Return whether every planned analysis was run."""
        return not self.not_yet_run

    @property
    def pending(self) -> tuple[str, ...]:
        """Return the names of the analyses that have not run yet, with the collection unless it is the first."""
        return tuple(
            one.analysis if one.collection == self.collection.name else f"{one.analysis} on {one.collection}"
            for one in self.not_yet_run
        )

    @property
    def after(self) -> Model:
        """Return the retriever: the model after fine-tuning, or the only one."""
        return list(self.models.values())[-1]

    @property
    def before(self) -> Model:
        """Return the backbone: the model before fine-tuning."""
        return self.models[BEFORE]

    @property
    def collection(self) -> CollectionFacts:
        """Return the study's first collection."""
        return self.collections[0]

    @property
    def n_blocks(self) -> int:
        """Return the number of blocks of the models."""
        return len(self.layer_names) - 1

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of the layers of the retriever."""
        return self.after.layer_names

    @property
    def paired_statistics(self) -> ComparisonSettings:
        """Return the settings of the paired tests, without the published unpaired test of probes."""
        return self.statistics.paired

    def side(self, name: str) -> Model:
        """Return a model by its role: "before", "after" or "model"."""
        return self.models[name]

    def layer_label(self, layer: int) -> str:
        """Return the printed label of a layer, such as "6 (post-norm)". Its number where no label is known."""
        names = self.layer_names
        return names[layer] if 0 <= layer < len(names) else str(layer)
