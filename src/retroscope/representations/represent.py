"""Encode a collection with both towers of a retriever, and keep the vectors in a cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from retroscope.collection.collection import Collection, join_title
from retroscope.display import Shown, shown
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.engine.choice import LOCAL, Engine
from retroscope.files.cache_records import CacheOrigin, used, versions
from retroscope.files.reading import PathLike, path_of
from retroscope.progress import Progress, counted
from retroscope.representations.extraction import extract, extract_in_one_pass
from retroscope.representations.inventory import Inventory, take_inventory
from retroscope.representations.one_pass import shares_pass
from retroscope.representations.plan import SOFTWARE, VERSION, ExtractionPlan, plan_inventory
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import is_finished
from retroscope.representations.vectors import (
    Representations,
    RetrieverRepresentations,
    TowerVectorsRecipe,
    VectorsRecipe,
)

InventoryKey = tuple[str, bytes]  # tower, and `Encoder.reading`


@dataclass(frozen=True)
class StreamedTexts:
    """Texts that can be iterated over repeatedly. They are generated anew each time."""

    make: Callable[[], Iterator[str]]

    def __iter__(self) -> Iterator[str]:
        return self.make()


@dataclass(frozen=True, eq=False)
class TowerPlan:
    """Plan of one tower: the texts to encode, the encoder, and the folder of its store in the cache."""

    tower: str
    plan: ExtractionPlan
    ids: Sequence[str]
    texts: StreamedTexts
    folder: Path
    collection: str = ""

    @property
    def is_stored(self) -> bool:
        """Return whether the vectors are already stored completely."""
        return is_finished(self.folder)

    @property
    def operations(self) -> float:
        """Count the floating point operations of the forward passes, or 0 when the vectors are stored."""
        return 0.0 if self.is_stored else self.plan.operations

    def shares_pass(self, other: "TowerPlan") -> bool:
        """Return whether one pass over the texts can compute the vectors of both plans."""
        return shares_pass(self.plan, other.plan)

    def extract(
        self, progress: Progress | None = None, engine: Engine = LOCAL, beside: Sequence["TowerPlan"] = ()
    ) -> Representations:
        """Compute, resume or open the vectors. Towers in `beside` that share the pass are computed, too."""
        count = None if progress is None else (lambda done, total: progress(self.tower, done, total))
        others = [one for one in beside if self.shares_pass(one)]
        for one in (self, *others):
            one.note_use()
        if others and engine.name == "local":
            places = [(one.plan, one.folder) for one in others]
            extract_in_one_pass(self.plan, self.texts, self.folder, places, count)
        return extract(self.plan, self.ids, self.texts, self.folder, count, engine=engine)

    def note_use(self) -> None:
        """Record in the cache the origin of the vectors, and that they are used now."""
        origin = CacheOrigin(
            models=(self.plan.encoder.name,), collection=self.collection, software=versions(SOFTWARE), form=VERSION
        )
        used(self.folder, origin)


def plan_towers(
    retriever: Retriever,
    collection: Collection,
    cache: Path,
    settings: ExtractionSettings | None = None,
    *,
    inventories: dict[InventoryKey, Inventory] | None = None,
    progress: Progress | None = None,
) -> tuple[TowerPlan, TowerPlan]:
    """Plan the query and the passage tower. Every text is read and tokenised once.

    Args:
        inventories: inventories of this collection's texts, by tower and by everything that determines the token ids of
            a text. Missing ones are taken and added.
        progress: called with (tower's texts, texts tokenised, texts in all).
    """
    settings = settings or ExtractionSettings()
    known = {} if inventories is None else inventories
    separator = collection.title_separator
    queries = StreamedTexts(lambda: (query.text for query in collection.queries.values()))
    passages = StreamedTexts(lambda: (join_title(passage, separator) for passage in collection.passages.values()))

    def tower(name: str, encoder: Encoder, ids: Sequence[str], texts: StreamedTexts) -> TowerPlan:
        key = (name, encoder.reading)
        if key not in known:
            known[key] = take_inventory(encoder, texts, counted(progress, f"{name} texts", len(ids)))
        extraction = plan_inventory(encoder, known[key], settings)
        return TowerPlan(name, extraction, ids, texts, cache / f"{extraction.key[:32]}.zarr", collection.name)

    return (
        tower("query", retriever.query, list(collection.queries), queries),
        tower("passage", retriever.passage, list(collection.passages), passages),
    )


def represent(
    retriever: Retriever,
    collection: Collection,
    cache: PathLike,
    settings: ExtractionSettings | None = None,
    progress: Shown = None,
    *,
    engine: Engine = LOCAL,
) -> RetrieverRepresentations:
    """Return the pooled vectors of every query and passage at every layer. Stored vectors are reused.

    Args:
        retriever: both towers.
        collection: the texts.
        cache: folder of the vector stores. A store is named by a hash of all that made it.
        settings: number format and batch size.
        progress: receives (tower, texts done, texts in all) (see `display.shown`).
        engine: where texts are encoded. The vectors are the same.
    """
    with shown(progress) as report:
        towers = plan_towers(retriever, collection, path_of(cache), settings)
        return extract_towers(retriever, towers, report, engine=engine)


def extract_towers(
    retriever: Retriever,
    towers: tuple[TowerPlan, TowerPlan],
    progress: Progress | None = None,
    *,
    engine: Engine = LOCAL,
    beside: Sequence[TowerPlan] = (),
) -> RetrieverRepresentations:
    """Compute, resume or open the vectors that `plan_towers` planned.

    Args:
        beside: towers of other retrievers. A tower that shares a pass with one of these is computed in that pass.
    """
    query, passage = (tower.extract(progress, engine, beside) for tower in towers)
    recipe: VectorsRecipe = {
        "retriever": retriever.name,
        "similarity": retriever.similarity,
        "query": _tower_recipe(towers[0]),
        "passage": _tower_recipe(towers[1]),
    }
    return RetrieverRepresentations(retriever.name, query, passage, retriever.similarity, recipe)


def _tower_recipe(tower: TowerPlan) -> TowerVectorsRecipe:
    return {
        "recipe": tower.plan.encoder.recipe.as_dict(),
        "fingerprint": tower.plan.encoder.fingerprint,
        "vectors": tower.plan.key,
        "dtype": tower.plan.settings.dtype,
        "texts": len(tower.ids),
        "distinct": tower.plan.inventory.n_distinct,
        "at_max_length": tower.plan.inventory.truncated,
    }
