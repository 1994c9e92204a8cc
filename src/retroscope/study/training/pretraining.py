"""Run `retroscope pretrain`: pre-train a backbone on text and write its folder."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.adapters import load_backbone
from retroscope.encoders.checkpoints.backbones import How, model_class, new_backbone, read_config
from retroscope.encoders.checkpoints.folders import locate, quiet
from retroscope.encoders.checkpoints.tokenizers import load_tokenizer
from retroscope.encoders.encoder import architecture, tokenizer_state
from retroscope.errors import SettingsError
from retroscope.files.documents import SCHEMA, clean, impersonal
from retroscope.inputs.load import collection_of
from retroscope.inputs.provenance import made_by, software
from retroscope.inputs.settings_files import plain
from retroscope.progress import Progress
from retroscope.study.embed import read_lines
from retroscope.study.training.settings import PretrainStudySettings
from retroscope.training.folder import ABOUT, claim, finished_training, first_holds, save_backbone
from retroscope.training.pretraining.crops import pretrain_on_crops, word_windows
from retroscope.training.pretraining.objectives import go_on, objective_of
from retroscope.training.pretraining.pretrain import Documents, pretrain, tokenised_documents
from retroscope.training.pretraining.shapes import family_of, shape_of
from retroscope.training.pretraining.vocabulary import train_tokenizer
from retroscope.training.processes import first_alone, is_first, n_processes, wait

CROPS = "crops"
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "attention_dropout")


@dataclass(frozen=True, eq=False)
class PretrainJob:
    """A pre-training that is ready to start, with model, tokenizer and text.

    Attributes:
        new: names of the head's weights that the checkpoint lacks; they start from random values.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    texts: list[str]
    documents: Documents
    settings: PretrainStudySettings
    new: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the SHA-256 of everything that determines the trained weights."""
        digest = hashlib.sha256(json.dumps([e["input_ids"] for e in self.documents.examples]).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
        digest.update((architecture(self.model) + tokenizer_state(self.tokenizer)).encode())
        key_parts = [plain(self.settings.pretraining), made_by(), n_processes()]
        digest.update(json.dumps(key_parts, sort_keys=True).encode())
        return digest.hexdigest()


def prepare_pretraining(settings: PretrainStudySettings) -> PretrainJob:
    """Read the text, train or load the tokenizer, and create or load the model."""
    pretraining = settings.pretraining
    texts = read_documents(settings)
    tokenizer = _tokenizer(settings, texts)
    if pretraining.objective == CROPS:
        texts = [part for part in word_windows(texts, pretraining.max_length) if len(part.split()) > 1]
    config = _config(settings, tokenizer)
    torch.manual_seed(pretraining.seed)
    with quiet():
        model, new = _model(settings, config)
    return PretrainJob(
        model, tokenizer, texts, tokenised_documents(tokenizer, texts, pretraining.max_length), settings, tuple(new)
    )


def _model(settings: PretrainStudySettings, config: PretrainedConfig) -> tuple[PreTrainedModel, list[str]]:
    """Return the model to pre-train, and the names of the weights that its checkpoint lacks."""
    name, start = settings.pretraining.objective, locate(settings.start) if settings.start else None
    if name == CROPS:
        return new_backbone(config, model_class(config)) if start is None else load_backbone(start, How()).model, []
    objective = objective_of(name, config.model_type)
    return (objective.start(config), []) if start is None else go_on(objective, start)


def read_documents(settings: PretrainStudySettings) -> list[str]:
    """Read the documents: each line of the files, then each passage of the collection."""
    texts = [line for name in settings.text for line in read_lines(Path(name))]
    if settings.data is not None:
        collection = collection_of(settings.data)
        texts += [collection.passage_text(passage) for passage in collection.passages]
    return texts


def run_pretraining(job: PretrainJob, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Pre-train a backbone, write it to `folder`, and return the document of `pretrain --json`.

    A stopped run in `folder` is resumed.

    Raises:
        TrainingError: if the folder holds another training or other files.
        SettingsError: if another run is writing to the folder.
    """
    key = job.key
    with first_holds(folder):
        finished = finished_training(folder, key)
        if finished is not None:
            return finished
        device = "cpu" if job.settings.device == "cpu" else "cuda"
        with first_alone(device):
            checkpoints = claim(folder, key)
        model, curve = _trained(job, checkpoints, progress)
        about = impersonal(clean(_document(job, key, curve)))
        if is_first():
            save_backbone(model, job.tokenizer, folder, about, _card(job))
        wait(device)
        return dict(about)


def _trained(
    job: PretrainJob, checkpoints: Path, progress: Progress | None
) -> tuple[PreTrainedModel, list[dict[str, float]]]:
    pretraining, device = job.settings.pretraining, job.settings.device
    if pretraining.objective == CROPS:
        return pretrain_on_crops(
            job.model, job.tokenizer, job.texts, pretraining, checkpoints, device=device, progress=progress
        )
    objective = objective_of(pretraining.objective, job.model.config.model_type)
    collate = objective.collate(job.tokenizer, pretraining)
    curve = pretrain(job.model, job.documents, collate, pretraining, checkpoints, device=device, progress=progress)
    return objective.finish(job.model), curve


def _tokenizer(settings: PretrainStudySettings, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    if settings.tokenizer is None:
        return load_tokenizer(locate(settings.start or ""))
    if Path(settings.tokenizer).is_dir():
        return load_tokenizer(Path(settings.tokenizer))
    if settings.shape is None:
        raise SettingsError(
            f"the checkpoint's tokenizer cannot be replaced by {settings.tokenizer!r}, which has another vocabulary",
            fix="leave out --tokenizer to use the checkpoint's tokenizer",
        )
    length = settings.pretraining.max_length
    return train_tokenizer(texts, settings.tokenizer, family_of(settings.shape), max_length=length)


def _config(settings: PretrainStudySettings, tokenizer: PreTrainedTokenizerBase) -> PretrainedConfig:
    if settings.shape is None:
        return read_config(locate(settings.start or ""), How())
    config = shape_of(settings.shape)(tokenizer, settings.pretraining.max_length)
    for name in DROPOUTS:
        if name in config.to_dict():
            setattr(config, name, settings.pretraining.dropout)
    return config


def describe_pretraining(job: PretrainJob) -> str:
    """Return a few lines that describe the pre-training: objective, model, documents and steps."""
    pretraining, read = job.settings.pretraining, job.documents
    size = sum(parameter.numel() for parameter in job.model.parameters())
    start = job.settings.start or f"a new {job.settings.shape}"
    lines = [
        f"{pretraining.objective} of {start}, {size:,} weights, vocabulary {len(job.tokenizer):,}: "
        f"{read.texts:,} documents, {pretraining.steps:,} steps of {pretraining.batch_size}"
    ]
    if read.cut:
        lines.append(f"  {read.cut:,} documents are longer than {pretraining.max_length} tokens and are read in parts")
    if job.new:
        lines.append(f"  {len(job.new)} weights of the head are not in the checkpoint; they start from random values")
    return "\n".join(lines)


def _document(job: PretrainJob, key: str, curve: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": key,
        "backbone": job.settings.start or job.settings.shape,
        "data": {
            "documents": job.documents.texts,
            "examples": len(job.documents.examples),
            "tokens": sum(len(example["input_ids"]) for example in job.documents.examples),
            "cut": job.documents.cut,
        },
        "weights": {"all": sum(parameter.numel() for parameter in job.model.parameters()), "new": list(job.new)},
        "steps": job.settings.pretraining.steps,
        "processes": n_processes(),
        "curve": curve,
        "settings": plain(job.settings),
        "versions": software(),
    }


def _card(job: PretrainJob) -> str:
    pretraining = job.settings.pretraining
    start = job.settings.start or f"random weights ({job.settings.shape})"
    rows = {
        "from": start,
        "read": f"{job.documents.texts:,} documents of {', '.join(Path(name).name for name in job.settings.text)}",
        "objective": pretraining.objective,
        "steps, batch, learning rate, seed": (
            f"{pretraining.steps}, {n_processes() * pretraining.batch_size}, {pretraining.learning_rate:g}, "
            f"{pretraining.seed}"
        ),
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return (
        "---\nlibrary_name: transformers\n---\n\n# A pre-trained backbone\n\n"
        f"Made by `retroscope pretrain`; all settings and the training curve are in `{ABOUT}`.\n\n"
        f"| | |\n|---|---|\n{table}"
    )
