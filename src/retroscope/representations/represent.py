"""Encode the queries and passages of a collection with a retriever, and store the vectors in a cache."""

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
    """Texts that are generated again each time they are iterated over, so that memory does not hold them.

    Attributes:
        make: function that returns a new iterator over all texts.
    """

    make: Callable[[], Iterator[str]]

    def __iter__(self) -> Iterator[str]:
        return self.make()


@dataclass(frozen=True, eq=False)
class TowerPlan:
    """Plan of encoding all queries or all passages of a collection (one tower), and of storing the vectors.

    Attributes:
        tower: "query" or "passage".
        plan: plan of the extraction, with the encoder.
        ids: id of each text.
        texts: the texts, in the order of the ids.
        folder: folder of the vector store in the cache.
        collection: name of the collection.
    """

    tower: str
    plan: ExtractionPlan
    ids: Sequence[str]
    texts: StreamedTexts
    folder: Path
    collection: str = ""

    @property
    def is_stored(self) -> bool:
        """Return whether the vectors of all texts are stored already."""
        return is_finished(self.folder)

    @property
    def operations(self) -> float:
        """Return how many floating point operations encoding takes, or 0 if the vectors are stored already."""
        return 0.0 if self.is_stored else self.plan.operations

    def shares_pass(self, other: "TowerPlan") -> bool:
        """Return whether one pass over the texts can compute the vectors of both plans."""
        return shares_pass(self.plan, other.plan)

    def extract(
        self, progress: Progress | None = None, engine: Engine = LOCAL, beside: Sequence["TowerPlan"] = ()
    ) -> Representations:
        """Return the vectors of this tower's texts, after computing those that are not stored yet.

        Args:
            progress: called with (tower, how many texts are done, how many there are).
            engine: where texts are encoded. It does not change the vectors.
            beside: plans of other towers. Those that can share this pass over the texts are computed in it.
        """
        count = None if progress is None else (lambda done, total: progress(self.tower, done, total))
        others = [tower_plan for tower_plan in beside if self.shares_pass(tower_plan)]
        for tower_plan in (self, *others):
            tower_plan.note_use()
        if others and engine.name == "local":
            places = [(tower_plan.plan, tower_plan.folder) for tower_plan in others]
            extract_in_one_pass(self.plan, self.texts, self.folder, places, count)
        return extract(self.plan, self.ids, self.texts, self.folder, count, engine=engine)

    def note_use(self) -> None:
        """Record in the cache which model and collection the vectors belong to, and that they are in use now."""
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
    """Return one plan of encoding the queries of a collection, and one of encoding its passages.

    Nothing is encoded yet.

    Args:
        cache: folder of the vector stores.
        inventories: inventories (lengths, repeated texts) of this collection that are known already. The key is the
            tower, and a digest of all that determines token ids (`Encoder.reading`). If one is missing, the texts are
            tokenised, and the inventory is added.
        progress: called with ("query texts" or "passage texts", how many are tokenised, how many there are).
    """
    settings = settings or ExtractionSettings()
    inventory_of = {} if inventories is None else inventories
    separator = collection.title_separator
    queries = StreamedTexts(lambda: (query.text for query in collection.queries.values()))
    passages = StreamedTexts(lambda: (join_title(passage, separator) for passage in collection.passages.values()))

    def tower(name: str, encoder: Encoder, ids: Sequence[str], texts: StreamedTexts) -> TowerPlan:
        key = (name, encoder.reading)
        if key not in inventory_of:
            inventory_of[key] = take_inventory(encoder, texts, counted(progress, f"{name} texts", len(ids)))
        extraction = plan_inventory(encoder, inventory_of[key], settings)
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
        retriever: the retriever that encodes the texts.
        collection: queries and passages.
        cache: folder of the vector stores. The name of a store is a hash of all that determines its vectors.
        settings: which layers are stored, number format and batch size.
        progress: function that is called with (tower, how many texts are done, how many there are). True shows a bar,
            False shows nothing, and None shows a bar in a terminal or a notebook.
        engine: where texts are encoded. It does not change the vectors.
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
    """Return the vectors of all queries and passages, after computing those that are not stored yet.

    Args:
        towers: plans of the query and the passage tower.
        progress: called with (tower, how many texts are done, how many there are).
        engine: where texts are encoded. It does not change the vectors.
        beside: plans of other retrievers' towers. Those that can share a pass over the texts are computed in it.
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
