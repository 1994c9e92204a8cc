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
    """Return a model's name with "(before)" or "(after)" at its end, unless it already ends so."""
    mark = f" ({side})"
    return name if name.endswith(mark) else f"{name}{mark}"


class ProofFacts(TypedDict):
    """Evidence that a model's weights were loaded (`LoadingProof`), as the JSON-like values that a study stores."""

    source: str
    loaded: int
    missing: list[str]
    unexpected: list[str]
    counted: bool
    wrapper: str
    notes: list[str]


class SelfTestFacts(TypedDict):
    """The outcome of a self-test as JSON-like values. Its value is None if the measured difference is not finite."""

    name: str
    passed: bool
    value: float | None
    tolerance: float
    detail: str


class TowerFacts(TypedDict):
    """One encoder's recipe, evidence of loading, layer labels and self-tests, as JSON-like values (see `Tower`)."""

    role: str
    recipe: RecipeFacts
    proof: ProofFacts
    layer_names: list[str]
    fingerprint: str
    self_tests: list[SelfTestFacts]


class ModelFacts(TypedDict):
    """One model's name, similarity and encoders (towers), as JSON-like values (see `Model`)."""

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
    """One collection's name, source, counts and fields, as JSON-like values.

    A plain file of texts has neither mapping nor fingerprint.
    """

    name: str
    source: str
    counts: dict[str, int]
    mapping: NotRequired[dict[str, str]]
    negatives: NotRequired[NegativesRecipe]
    fingerprint: NotRequired[str]


class StudyFacts(TypedDict):
    """A study's models, collections, caveats, command and timings, as JSON-like values: the content of `study.json`.

    "trainings" is the number of training runs of the retriever, "timings" has the seconds of every stage of the work.
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
    """A model's query or passage encoder (tower): recipe, evidence of loading, layer labels, self-tests.

    Attributes:
        role: "query", "passage", or "query and passage" when one encoder serves both.
        recipe: recipe, with the source of each field.
        proof: evidence that its weights come from the checkpoint.
        layer_names: labels of layers 0..L, e.g. "6 (post-norm)".
        fingerprint: SHA-256 of weights, tokenizer and recipe.
        self_tests: its self-tests, with their outcomes.
    """

    role: str
    recipe: RecipeFacts
    proof: ProofFacts
    layer_names: tuple[str, ...]
    fingerprint: str
    self_tests: tuple[SelfTest, ...] = ()


@dataclass(frozen=True)
class Model:
    """One model of a study: its name, its encoders (towers), and its similarity ("dot" or "cosine")."""

    name: str
    similarity: str
    towers: tuple[Tower, ...]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of the layers, the same in both towers."""
        return self.towers[0].layer_names if self.towers else ()

    @property
    def failed_tests(self) -> tuple[str, ...]:
        """Return the names of the failed self-tests with their towers, e.g. "query tower: batches"."""
        return tuple(f"{tower.role} tower: {t.name}" for tower in self.towers for t in tower.self_tests if not t.passed)


@dataclass(frozen=True)
class CollectionFacts:
    """One collection of a study: its name, source, counts and fields.

    Attributes:
        name: name in tables.
        source: where it was read from.
        counts: how many passages, queries, judged queries and judgments the collection has.
        mapping: name of a field in Retroscope -> its name in the source.
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
        collections: the collection on which everything is measured, then the further collections.
        protocol: "default" or "ielab-2025".
        measures: retrieval measures. The first is the headline.
        statistics: how differences are tested.
        trainings: number of training runs of the retriever in the study, including the retriever itself.
        settings: all settings of the study, JSON-like.
        caveats: what a reader must know before reading a number.
        command: the command line that repeats the study.
        versions: library -> version.
        timings: stage -> seconds.
        not_yet_run: analyses that are still to be run. Empty once the study is finished.
        refused: analyses that cannot be measured with these models and collections.
        too_long: names of the analyses that were left out because they did not fit into the time limit.
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
            pending.analysis
            if pending.collection == self.collection.name
            else f"{pending.analysis} on {pending.collection}"
            for pending in self.not_yet_run
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
        """Return the settings for comparing scores other than probe accuracies: always with a paired test."""
        return self.statistics.paired

    def side(self, name: str) -> Model:
        """Return a model by its role: "before", "after" or "model"."""
        return self.models[name]

    def layer_label(self, layer: int) -> str:
        """Return the printed label of a layer, such as "6 (post-norm)", or its number if it has no label."""
        names = self.layer_names
        return names[layer] if 0 <= layer < len(names) else str(layer)
