"""Create and open the store of an extraction plan, and repair its metadata."""

from pathlib import Path
from typing import Literal

from filelock import FileLock

from retroscope.engine.storage import Location, is_url
from retroscope.errors import RepresentationError
from retroscope.files.checksums import damaged, note_remade
from retroscope.files.partials import new_beside
from retroscope.files.whole import sync_folder
from retroscope.representations.layout import ROOT, create_arrays
from retroscope.representations.place import is_free
from retroscope.representations.plan import ExtractionPlan
from retroscope.representations.repair import is_of_key, lock_of, renew_description
from retroscope.representations.store import VectorStore, open_store


def create_store(plan: ExtractionPlan, place: Location) -> None:
    """Create the empty vector store of an extraction plan, completely or not at all.

    A folder is filled under a temporary name and then renamed. If another run has created the store meanwhile, that
    store is used, because both are the same.
    """
    if is_url(place):
        _write_empty(plan, place)
        return
    folder = Path(place)
    with new_beside(folder) as beside:
        store = beside / "store"
        _write_empty(plan, store)
        sync_folder(store)
        try:
            store.rename(folder)
        except OSError:
            if is_free(folder):
                raise


def _write_empty(plan: ExtractionPlan, place: Location) -> None:
    n, (depth, dim, out) = len(plan.inventory.first), plan.shape
    attrs: dict[str, object] = {"key": plan.key, "done": 0, "layer_names": list(plan.encoder.layer_names)}
    if plan.normed:
        attrs["norm_each_layer"] = True
    if plan.settings.layers is not None:
        attrs["stored_layers"] = list(plan.settings.layers)
    attrs["recipe"] = plan.encoder.recipe.as_dict()
    shapes = ((n, depth, dim), (n, out))
    create_arrays(place, shapes=shapes, window=plan.window, dtype=plan.settings.dtype, attrs=attrs)


def own_store(plan: ExtractionPlan, place: Location) -> VectorStore:
    """Open the vector store of an extraction plan. Damaged metadata are written again, and the vectors do not change.

    Raises:
        RepresentationError: if it is the store of another plan.
    """
    try:
        return open_own(plan, place)
    except RepresentationError:
        if is_url(place) or not is_of_key(Path(place), plan.key):
            raise
    folder = Path(place)
    note_remade(damaged(folder / ROOT, ""))
    with FileLock(lock_of(folder)), new_beside(folder) as beside:
        _write_empty(plan, beside / "store")
        sync_folder(beside / "store")
        renew_description(folder, beside / "store")
    return open_own(plan, folder)


def open_own(plan: ExtractionPlan, place: Location, mode: Literal["r", "r+"] = "r") -> VectorStore:
    """Open the vector store of an extraction plan, after checking that the key of the store is the plan's.

    Raises:
        RepresentationError: if it is the store of another plan, or its metadata are damaged.
    """
    store = open_store(place, mode=mode)
    if store.attributes["key"] != plan.key:
        raise RepresentationError(
            "this folder holds vectors of another model, recipe, set of texts or choice of layers",
            where=str(place),
            fix="give another folder, or remove this folder",
        )
    return store
