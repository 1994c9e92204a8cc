"""Check whether the files of a checkpoint record its pooling, before weights or torch are loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from retroscope.encoders.architecture.families import FAMILIES
from retroscope.encoders.checkpoints.folders import (
    ADAPTER_CONFIG,
    MODULES,
    base_beside,
    locate,
    looks_like_a_path,
    read_json,
)
from retroscope.errors import UnknownPoolingError

if TYPE_CHECKING:
    from retroscope.encoders.settings import LoadSettings

DECODER, ENCODER = "last_token or mean", "cls or mean"  # poolings that are usual


def refuse_without_pooling(source: str | Path, settings: "LoadSettings") -> None:
    """Refuse a local checkpoint if neither its files nor the settings name a pooling.

    Hub names, GGUF files and families that are not in `FAMILIES` are not checked here but on loading.

    Raises:
        UnknownPoolingError: if so. It names the poolings that are usual for the model's family.
    """
    if settings.pooling is not None or settings.preset is not None:
        return
    if not (looks_like_a_path(source) or Path(source).exists()):
        return
    path = locate(source)
    plain = _plain_folder(path, settings.base)
    family = None if plain is None else read_json(plain, "config.json").get("model_type")
    if isinstance(family, str) and family in FAMILIES and family != "dpr":
        causal = FAMILIES[family][0].causal and settings.causal is not False
        raise unknown_pooling(str(path), causal=causal)


def _plain_folder(path: Path, base: str | None) -> Path | None:
    """Return the folder of a plain checkpoint (without modules.json), or of an adapter's plain base model.

    None for a file, for a sentence-transformers folder, and for a base model that is not a plain folder on this
    machine.
    """
    if path.is_file() or (path / MODULES).is_file():
        return None
    if not (path / ADAPTER_CONFIG).is_file():
        return path
    named = base or read_json(path, ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        return None
    under = base_beside(path, named, given=base is not None) or Path(named)
    records_more = (under / MODULES).is_file() or (under / ADAPTER_CONFIG).is_file()
    return under if under.is_dir() and not records_more else None


def unknown_pooling(where: str, *, causal: bool) -> UnknownPoolingError:
    """Return the error for a checkpoint that does not record its pooling.

    Args:
        where: path or name of the checkpoint.
        causal: whether its attention is causal.
    """
    return UnknownPoolingError(
        "the checkpoint does not record its pooling, and a wrong pooling makes a good model look bad",
        where=where,
        fix="give the pooling that the model was trained with (--pooling NAME; in Python pooling='NAME'); for this "
        f"family it is usually {DECODER if causal else ENCODER}",
    )
