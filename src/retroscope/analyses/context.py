"""Inputs of an analysis: models, collection, and results (vectors, searches) that several analyses share."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Int

from retroscope.analyses.analysis import TowerWork
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives, hard_negatives
from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.encoder import Encoder, Retriever, architecture
from retroscope.encoders.precision import EXACT
from retroscope.encoders.random_weights import with_random_weights
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.encoders.work import measured_rate, product_rate
from retroscope.engine.choice import LOCAL, Engine
from retroscope.inputs.encoding import checked, doubts
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.whole_search import DEPTH, WholeSearch, whole_search
from retroscope.progress import Progress, Stages
from retroscope.representations.inventory import Inventory
from retroscope.representations.represent import InventoryKey, TowerPlan, extract_towers, plan_towers
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.retrieval.measures import depth
from retroscope.retrieval.work import search_seconds

Made = TypeVar("Made")
Towers = tuple[TowerPlan, TowerPlan]


@dataclass(frozen=True, eq=False)
class Encoded:
    """The vectors of all texts of one collection by one retriever, with the outcomes of the retriever's self-tests.

    Attributes:
        vectors: vectors of every layer. Their warnings name the self-tests that failed.
        self_tests: tower -> the outcomes of its self-tests.
        seconds: stage ("self-tests", "encoding" ...) -> how many seconds it took.
    """

    vectors: RetrieverRepresentations
    self_tests: Mapping[str, list[SelfTest]]
    seconds: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Context:
    """Inputs of an analysis: the models, one collection, settings and cache.

    Results that several analyses need (e.g. vectors) are computed once in a study.

    Attributes:
        models: "before" (the backbone) and "after" (the retriever), or "model" alone.
        collection: the collection that is measured on.
        settings: settings of the study.
        cache: folder of the vectors and of the files from which a stopped run continues.
        trainings: other training runs of the retriever.
        first: whether `collection` is the study's first.
        further: how many collections the study has in addition to the first.
        progress: called with (name of the work, amount done, amount in all).
        engine: where texts are encoded, e.g. in this process or on a Ray cluster.
        to_encode: all retrievers that encode the collection. Those that differ only in pooling share one forward pass.
    """

    models: Mapping[str, Retriever]
    collection: Collection
    settings: StudySettings
    cache: Path
    trainings: tuple[Retriever, ...] = ()
    first: bool = True
    further: int = 0
    progress: Progress | None = None
    engine: Engine = LOCAL
    to_encode: tuple[Retriever, ...] = ()
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def is_pair(self) -> bool:
        """Return whether the study compares two models."""
        return len(self.models) > 1

    def on(self, collection: Collection, *, first: bool) -> "Context":
        """Return a copy of the context for another collection of the study. Computed results stay available."""
        return replace(self, collection=collection, first=first, to_encode=())

    def told(self, progress: Progress | None) -> "Context":
        """Return a copy of the context with another progress callback."""
        return replace(self, progress=progress)

    def stages(self, name: str) -> Stages:
        """Return a timer that records how long each stage of some work takes.

        It reports progress under `name`, e.g. the name of the analysis.
        """
        return Stages(name, self.named_progress)

    @property
    def named_progress(self) -> Progress | None:
        """Return the progress callback, changed so that it also reports the name of the collection.

        It is unchanged for the study's first collection, and None if the context has none.
        """
        report, name = self.progress, self.collection.name
        if report is None or self.first:
            return report
        return lambda what, done, total: report(f"{name}: {what}", done, total)

    def towers(self, retriever: Retriever) -> Towers:
        """Return two plans for encoding the collection with a retriever: one for its queries, one for its passages.

        Texts are tokenised only once for all encoders that turn them into the same tokens.
        """
        return self._once(
            ("towers", *_identity(retriever)),
            lambda: plan_towers(
                retriever,
                self.collection,
                self.cache,
                self.settings.extraction,
                inventories=self._once(("inventories",), dict[InventoryKey, Inventory]),
                progress=Stages("tokenising", self.progress).named(),
            ),
        )

    def tower_document(self, role: str, tower: TowerPlan, within: str = "") -> TowerWork:
        """Return the plan for encoding the queries or the passages with one model, as JSON-like values.

        Args:
            role: the model's role in the study, e.g. "before".
            tower: plan for the encoder of the queries, or for that of the passages.
            within: role of another model (e.g. "before") whose forward pass also gives these vectors, or "".
        """
        inventory, encoder = tower.plan.inventory, tower.plan.encoder
        return {
            "model": role,
            "tower": tower.tower,
            "collection": self.collection.name,
            "texts": len(inventory.first),
            "distinct": inventory.n_distinct,
            "tokens": inventory.tokens,
            "at_max_length": inventory.truncated,
            "bytes": tower.plan.n_bytes,
            "seconds": 0.0 if within else round(self.seconds_of(encoder, tower.operations), 3),
            "stored": tower.is_stored,
            "recipe": encoder.recipe.as_dict(),
            "key": tower.folder.stem,
            "within": "" if tower.is_stored else within,
        }

    def seconds_of(self, encoder: Encoder, operations: float, precision: str = EXACT) -> float:
        """Estimate how many seconds forward passes take, from their number of floating-point operations.

        The operations per second are measured once for each architecture, device and precision.
        """
        if not operations:
            return 0.0
        key = ("rate", architecture(encoder.backbone), str(encoder.backbone.dtype), str(encoder.device), precision)
        measure = partial(measured_rate, encoder, self._passage_lengths(), precision)
        return operations / self._once(key, measure, everywhere=True)

    def seconds_each(self, retriever: Retriever, tower: str, precision: str = EXACT) -> float:
        """Estimate the mean seconds that a retriever takes to encode one query or one passage.

        The estimate does not depend on whether vectors are already stored.
        """
        plan = self.towers(retriever)[("query", "passage").index(tower)].plan
        return self.seconds_of(plan.encoder, plan.operations_each, precision)

    def search_seconds(self, retriever: Retriever, measures: Sequence[str] = ()) -> float:
        """Estimate the seconds of searching the collection once with the vectors of a retriever.

        Args:
            measures: retrieval measures that are computed, by default those of the study.
        """
        judged, passages = len(self.collection.judged_queries), len(self.collection.passages)
        return search_seconds(
            judged, passages, retriever.passage.width, measures or self.settings.measures, self.product_rate
        )

    @property
    def product_rate(self) -> float:
        """Return the measured speed of float32 matrix products on the CPU, in operations per second."""
        return self._once(("product rate",), product_rate, everywhere=True)

    def encoded(self, retriever: Retriever, label: str = "") -> Encoded:
        """Return the vectors of all texts of the collection by a retriever. Encode those that are not in the cache.

        Args:
            retriever: a model of the study, or any other retriever.
            label: name under which progress is shown, by default the retriever's name.

        Raises:
            EncoderError: if a tower gives different texts the same vector.
        """
        return self._once(("encoded", *_identity(retriever)), partial(self._encoded, retriever, label))

    def was_encoded(self, retriever: Retriever) -> Encoded | None:
        """Return the vectors of the collection by a retriever if `encoded` was already called for it, or else None."""
        return cast("Encoded | None", self._made.get(("encoded", *_identity(retriever), *self._place)))

    def self_tests(self, retriever: Retriever) -> Mapping[str, list[SelfTest]]:
        """Return the outcomes of the self-tests of a retriever's query encoder and passage encoder.

        The tests run at the first call.

        Raises:
            EncoderError: if a tower gives different texts the same vector.
        """
        return self._once(("self-tests", *_identity(retriever)), partial(checked, retriever), everywhere=True)

    def _encoded(self, retriever: Retriever, label: str) -> Encoded:
        stages = self.stages(label or retriever.name)
        self_tests = self.self_tests(retriever)
        stages.ended("self-tests")
        towers = self.towers(retriever)
        beside = [tower for other in self.to_encode for tower in self.towers(other)]
        vectors = extract_towers(retriever, towers, stages.of_towers(), engine=self.engine, beside=beside)
        stages.ended("encoding")
        return Encoded(replace(vectors, warnings=doubts(self_tests)), self_tests, stages.seconds)

    def with_random_weights(self, side: str) -> Retriever | None:
        """Return a copy of a model with random weights, or None if the settings leave out this control."""
        if not self.settings.random_weights:
            return None
        model = self.models[side]
        key = ("random weights", *_identity(model))
        return self._once(key, lambda: with_random_weights(model, seed=0), everywhere=True)

    def random_vectors(self, side: str) -> RetrieverRepresentations | None:
        """Return the vectors of the collection by a copy of a model with random weights.

        Return None if the settings leave out this control.
        """
        copy = self.with_random_weights(side)
        if copy is None:
            return None
        return self.encoded(copy, f"{self.models[side].name} (random weights)").vectors

    def negatives(self) -> MinedNegatives:
        """Return the hard negatives of the collection's queries, from the source in the settings, such as BM25."""
        return self._once(("negatives",), self._mined)

    def _passage_lengths(self) -> Int[np.ndarray, "passage"]:
        """Return the number of tokens of every passage, counted with the tokenizer of the last model."""
        *_, last = self.models.values()
        return self.towers(last)[1].plan.inventory.lengths

    @property
    def _place(self) -> tuple[Hashable, ...]:
        return self.collection.fingerprint, self.collection.name

    def _mined(self) -> MinedNegatives:
        settings = self.settings.negatives
        run = Path(settings.run) if settings.run else None
        published = self.settings.protocol == PUBLISHED_PROTOCOL and bool(self.collection.candidates)
        how = settings.how if settings.how != "auto" else "given" if published else "bm25"
        return hard_negatives(self.collection, settings.pool, how=how, run=run, pool=settings.pool)

    def whole_search(self, measures: Sequence[str] = ()) -> WholeSearch:
        """Return rankings of the whole collection by every model and by BM25. Samples are filled from these rankings.

        Args:
            measures: measures that the rankings must be deep enough for, in addition to those of the study.
        """
        vectors = {model.name: self.encoded(model).vectors for model in self.models.values()}
        k = max(DEPTH, depth([*self.settings.measures, *measures]))
        return self._once(("whole search", k), lambda: whole_search(self.collection, vectors, k))

    def _once(self, key: tuple[Hashable, ...], make: Callable[[], Made], *, everywhere: bool = False) -> Made:
        """Return the result of `make`, which is called once for each key and collection.

        With `everywhere`, it is called once for each key, for all collections together.
        """
        whole = key if everywhere else (*key, *self._place)
        if whole not in self._made:
            self._made[whole] = make()
        return cast(Made, self._made[whole])


def _identity(retriever: Retriever) -> tuple[Hashable, ...]:
    return retriever.name, retriever.similarity, retriever.query.fingerprint, retriever.passage.fingerprint
