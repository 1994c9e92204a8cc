"""The store of a plan of extraction: made beside its place, opened if it is this plan's, its description mended."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock

from retroscope.checksums import damaged, note_remade
from retroscope.errors import RepresentationError
from retroscope.files import sync_folder
from retroscope.partials import new_beside
from retroscope.representations.arrays import create_arrays
from retroscope.representations.damage import GROUP
from retroscope.representations.place import is_free
from retroscope.representations.repair import is_of_key, lock_of, renew_description
from retroscope.representations.store import VectorStore, open_store

if TYPE_CHECKING:
    from retroscope.representations.extraction import ExtractionPlan


def create_store(plan: "ExtractionPlan", folder: Path) -> None:
    """Make the empty store beside `folder` and rename it, so that a half-made one is never seen.

    If another run was quicker, its store stands (they are the same) and this one goes.
    """
    with new_beside(folder) as beside:
        store = _empty_store(plan, beside / "store")
        try:
            store.rename(folder)
        except OSError:
            if is_free(folder):
                raise


def _empty_store(plan: "ExtractionPlan", folder: Path) -> Path:
    attrs: dict[str, object] = {"key": plan.key, "done": 0, "layer_names": list(plan.encoder.layer_names)}
    if plan.normed:
        attrs["norm_each_layer"] = True
    attrs["recipe"] = plan.encoder.recipe.as_dict()
    n, (depth, dim, out) = len(plan.inventory.first), plan.shape
    shapes = ((n, depth, dim), (n, out))
    create_arrays(folder, shapes=shapes, window=plan.window, dtype=plan.settings.dtype, attrs=attrs)
    sync_folder(folder)
    return folder


def own_store(plan: "ExtractionPlan", folder: Path) -> VectorStore:
    """Open the store of this plan; where its description is damaged, that is made again, and its windows are kept."""
    try:
        return open_own(plan, folder)
    except RepresentationError:
        if not is_of_key(folder, plan.key):
            raise
    note_remade(damaged(folder / GROUP, ""))
    with FileLock(lock_of(folder)), new_beside(folder) as beside:
        renew_description(folder, _empty_store(plan, beside / "store"))
    return open_own(plan, folder)


def open_own(plan: "ExtractionPlan", folder: Path, mode: Literal["r", "r+"] = "r") -> VectorStore:
    """Open the store of this plan.

    Raises:
        RepresentationError: if it is of another plan, or its description is damaged.
    """
    store = open_store(folder, mode=mode)
    if store.attributes["key"] != plan.key:
        raise RepresentationError(
            "this folder holds vectors of another model, recipe or set of texts",
            where=str(folder),
            fix="choose another folder, or remove this one",
        )
    return store
