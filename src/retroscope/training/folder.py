"""Write the folder of a trained model (all files or none) with a model card, and check the saved model's vectors."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.folders import KEPT_BASE, quiet
from retroscope.encoders.checkpoints.resolve import UNBOUNDED
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import TrainingError
from retroscope.files.checksums import damaged
from retroscope.files.documents import as_json, write_text
from retroscope.files.locks import LOCK, held
from retroscope.files.partials import remove_abandoned
from retroscope.files.whole import new_folder, remove_whole, sync_folder
from retroscope.training.processes import is_first
from retroscope.training.watch import disk_errors, is_whole

ABOUT, CHECKPOINTS, OWNER = "training.json", "checkpoints", "key.json"
TOLERANCE = 1e-5  # of a coordinate: float32 sums of a merged adapter against an unmerged one


def finished_training(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the content of `training.json` if the training with this key is finished, or None if it is not.

    Args:
        folder: folder of the training.
        key: hash of the training's texts, settings, weights and software.

    Raises:
        TrainingError: if `training.json` was written by a training with another key.
        DamageError: if `training.json` is not valid JSON.
    """
    if not (folder / ABOUT).is_file():
        return None
    about = _read(folder / ABOUT)
    if about.get("key") == key:
        return about
    raise TrainingError(
        "this folder was written by another training, with different texts, settings, weights or software",
        where=str(folder),
        fix="give another output folder",
    )


@contextmanager
def first_holds(folder: Path) -> Iterator[None]:
    """Lock the folder of a training while the context is open, and remove files that killed runs left in it.

    Only the first process of the training does this.

    Raises:
        SettingsError: if another run has locked the folder.
    """
    if not is_first():
        yield
        return
    new = not folder.exists()
    try:
        with held(folder):
            remove_abandoned(folder)
            if (folder / ABOUT).is_file():
                remove_whole(folder / CHECKPOINTS)
            yield
    except BaseException:
        if new:
            with suppress(OSError):  # a folder that is not empty stays
                folder.rmdir()
        raise


def claim(folder: Path, key: str) -> Path:
    """Return the folder of the checkpoints: that of an earlier run of the same training, or a new one.

    The folder of another training that wrote no checkpoint (e.g. because it failed at the first step) is replaced.

    Args:
        folder: folder of the training.
        key: hash of the training's texts, settings, weights and software.

    Raises:
        TrainingError: if the folder contains checkpoints of another training, or other files.
    """
    checkpoints = folder / CHECKPOINTS
    owner = checkpoints / OWNER
    if owner.is_file() and _read(owner)["key"] == key:
        return checkpoints
    if owner.is_file() and not any(checkpoints.glob("checkpoint-*")):
        remove_whole(folder / KEPT_BASE)
        remove_whole(checkpoints)
    elif checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()  # as older versions left it when they were killed
    if owner.is_file():
        raise TrainingError(
            "the checkpoints in this folder belong to another training, with different texts, settings, weights or "
            "software",
            where=str(checkpoints),
            fix="give another output folder, or remove these checkpoints to abandon that training",
        )
    if folder.exists() and {place.name for place in folder.iterdir()} - {LOCK}:
        raise TrainingError(
            "this folder already contains other files", where=str(folder), fix="give a new output folder"
        )
    with new_folder(checkpoints) as new:
        _write(new / OWNER, {"key": key})
    return checkpoints


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_text(path, as_json(document) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise damaged(path, "give another output folder, or restore the file from a copy") from error


def save_trained(model: SentenceTransformer, folder: Path, about: Mapping[str, Any], card: str) -> Path:
    """Write a trained retriever with its model card and `training.json`, and return the folder.

    The saved model is loaded again, and must compute the same vectors. `training.json` is written last, so a folder
    that has it is complete.

    Args:
        about: content of `training.json`.
        card: content of README.md.

    Raises:
        TrainingError: if the saved model computes other vectors.
    """
    with disk_errors(folder):
        partial = _fresh(folder)
        with quiet():
            model.save_pretrained(str(partial), create_model_card=False)
        _prove(model, partial)
        return _finish(partial, folder, about, card)


def save_backbone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, about: Mapping[str, Any], card: str
) -> Path:
    """Write a pre-trained backbone and its tokenizer as a transformers folder, and return the folder.

    As in `save_trained`, the saved model must compute the same hidden states.
    """
    with disk_errors(folder):
        partial = _fresh(folder)
        with quiet():
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        _prove_states(model, tokenizer, partial)
        return _finish(partial, folder, about, card)


def _fresh(folder: Path) -> Path:
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _finish(partial: Path, folder: Path, about: Mapping[str, Any], card: str) -> Path:
    """Move the finished files to their final place, `training.json` last, and remove the checkpoints."""
    (partial / "README.md").write_text(card, encoding="utf-8")
    sync_folder(partial)
    for part in sorted(partial.iterdir()):
        place = folder / part.name
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(part, place)
    partial.rmdir()
    _write(folder / ABOUT, about)
    remove_whole(folder / CHECKPOINTS)
    return folder


def _prove_states(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    batch = tokenizer(["What was already there?"], return_tensors="pt").to(model.device)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    inner = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    length = tokenizer.model_max_length if tokenizer.model_max_length < UNBOUNDED else None
    loaded = load_encoder(folder, LoadSettings(pooling="mean", max_length=length))
    with torch.inference_mode():
        trained_states = inner.eval()(**inputs).last_hidden_state.float().cpu()
        states = loaded.backbone(**{name: ids.cpu() for name, ids in inputs.items()}).last_hidden_state
    _compare(states, trained_states, "states", folder)


def _prove(model: SentenceTransformer, folder: Path) -> None:
    """Check that the saved model, loaded by `load_retriever`, computes the vectors of the trained model.

    Raises:
        TrainingError: if the vectors differ.
    """
    texts = ["a", "What did fine-tuning change, and what was already there?"]
    loaded = load_retriever(folder)
    with quiet(), torch.inference_mode():
        trained_vectors = {
            "query": model.encode_query(texts, convert_to_tensor=True),
            "passage": model.encode_document(texts, convert_to_tensor=True),
        }
    for tower, vectors in trained_vectors.items():
        encoder = loaded.tower(tower)
        saved = final_vectors(encoder, tokenise(encoder, texts))
        _compare(saved, vectors.float().cpu(), f"{tower} vectors", folder)


def _compare(values: Tensor, wanted: Tensor, what: str, folder: Path) -> None:
    gap = float((values - wanted).abs().max())
    if not gap <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise TrainingError(
            f"the saved model and the trained model compute different {what} (largest difference {gap:.2g})",
            where=str(folder),
            fix="report this with the model's family and the library versions; the last checkpoint is kept",
        )


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step of a checkpoint, read from the end of its name."""
    return int(checkpoint.name.rpartition("-")[2])


def last_checkpoint(checkpoints: Path) -> str | None:
    """Return the path of the latest complete checkpoint, or None without any; remove incomplete checkpoints."""
    checkpoints_by_step = sorted(checkpoints.glob("checkpoint-*"), key=step_of)
    for incomplete in [path for path in checkpoints_by_step if not is_whole(path)]:
        shutil.rmtree(incomplete)
    whole = [path for path in checkpoints_by_step if path.exists()]
    return str(whole[-1]) if whole else None
