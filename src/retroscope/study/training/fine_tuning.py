"""Run `retroscope train`: fine-tune a backbone on a collection and write a retriever's folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.files.documents import SCHEMA, clean, fingerprint, impersonal
from retroscope.inputs.load import collection_of, retriever_of
from retroscope.inputs.provenance import made_by, software
from retroscope.inputs.settings_files import plain
from retroscope.progress import Progress
from retroscope.study.training.settings import TrainStudySettings
from retroscope.surgery.reinitialise import reinitialise
from retroscope.training.contrastive import Trained, check_installed, planned_steps, train
from retroscope.training.folder import ABOUT, claim, finished_training, first_holds, save_trained
from retroscope.training.model import build_model, find_base, without_new_pooler
from retroscope.training.overlap import TrainingOverlap, overlap_with
from retroscope.training.pairs import Pairs, check_held_out, check_not_chosen_with, training_pairs
from retroscope.training.processes import first_alone, is_first, n_processes, wait
from retroscope.training.settings import TrainingSettings
from retroscope.training.strategies import moving

ALL_TIED = "every checkpoint has the same score on the held-out queries, so the last checkpoint was kept"


@dataclass(frozen=True, eq=False)
class TrainJob:
    """A fine-tuning that is ready to start: its backbone, collection and training pairs are loaded and checked."""

    backbone: Retriever
    collection: Collection
    pairs: Pairs
    dev: Collection | None
    settings: TrainStudySettings
    overlaps: tuple[TrainingOverlap, ...] = ()

    @property
    def key(self) -> str:
        """Return the SHA-256 of everything that determines the trained weights."""
        towers = [self.backbone.query.fingerprint, self.backbone.passage.fingerprint, self.backbone.similarity]
        dev = "" if self.dev is None else self.dev.fingerprint
        key_parts = [towers, self.pairs.fingerprint, dev, plain(self.settings.training), made_by(), n_processes()]
        return fingerprint(key_parts)


def prepare_training(settings: TrainStudySettings) -> TrainJob:
    """Load the backbone and the collections, and check that no test query is used for training."""
    check_installed()
    backbone, collection = retriever_of(settings.backbone, "backbone"), collection_of(settings.data)
    if settings.reinitialise:
        backbone = reinitialise(backbone, settings.reinitialise, settings.training.seed)
    pairs = training_pairs(collection, settings.training.hard_negatives, settings.training.negatives)
    dev = None if settings.dev is None else collection_of(settings.dev)
    tests = [collection_of(data) for data in settings.test]
    check_held_out(pairs, [*([dev] if dev else []), *tests])
    if dev is not None:
        check_not_chosen_with(dev, tests)
    overlaps = tuple(overlap_with(pairs, held_out) for held_out in [*([dev] if dev else []), *tests])
    return TrainJob(backbone, collection, pairs, dev, settings, overlaps)


def run_training(job: TrainJob, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Fine-tune a backbone, write the retriever to `folder`, and return the document of `train --json`.

    A stopped run in `folder` is resumed.

    Raises:
        TrainingError: if the folder holds another training or other files.
        SettingsError: if another run is writing to the folder.
    """
    with first_holds(folder):
        finished = finished_training(folder, job.key)
        return _trained(job, folder, progress) if finished is None else finished


def _trained(job: TrainJob, folder: Path, progress: Progress | None) -> dict[str, Any]:
    source = job.settings.backbone.source if job.settings.backbone else None
    training, device, altered = job.settings.training, job.backbone.passage.device.type, bool(job.settings.reinitialise)
    with first_alone(device):
        checkpoints = claim(folder, job.key)
        base = find_base(job.backbone, source or "", folder, training, altered=altered)
    model = build_model(job.backbone, base, training)
    trained = train(model, job.pairs, training, checkpoints, dev=job.dev, progress=progress)
    about = impersonal(clean(_document(job, trained)))
    if is_first():
        save_trained(without_new_pooler(trained.model, job.backbone), folder, about, card(job, base.name))
    wait(device)
    return dict(about)


def describe_training(job: TrainJob) -> str:
    """Return a few lines that describe the training: strategy, data, steps, checkpoint selection and temperature."""
    training, notes = job.settings.training, [*job.collection.notes, *job.pairs.notes]
    steps = planned_steps(job.pairs, training)
    dev = "no held-out queries: the last checkpoint is kept"
    if job.dev is not None:
        dev = f"{len(job.dev.judged_queries):,} held-out queries of {job.dev.name} choose the checkpoint"
    lines = [
        f"{training.strategy} training of {job.backbone.name} with {len(job.pairs):,} pairs of {job.collection.name}: "
        f"{steps:,} steps of {training.batch_size}, learning rate {training.peak_rate:g}",
        f"  {dev}",
        f"  temperature {training.temperature_for(job.backbone.similarity):g} ({_temperature_from(training, job)})",
        *(f"  {text}" for text in (*_masked(job.pairs), *(overlap.words() for overlap in job.overlaps))),
        *(f"  note: {note}" for note in notes),
    ]
    return "\n".join(lines)


def _temperature_from(training: TrainingSettings, job: TrainJob) -> str:
    return f"customary for {job.backbone.similarity}" if training.temperature is None else "set"


def _masked(pairs: Pairs) -> list[str]:
    """State for how many pairs some in-batch negatives are masked, because they are judged relevant."""
    if pairs.relevance is None:
        return []
    rows = pairs.relevance.rows_with_false_negatives
    return [
        f"for {rows:,} of {len(pairs):,} pairs, passages of other queries are judged relevant, too: within a batch, "
        "these passages are not used as negatives"
    ]


def _document(job: TrainJob, trained: Trained) -> dict[str, Any]:
    moved, weights = moving(trained.model)
    return {
        "schema": SCHEMA,
        "key": job.key,
        "backbone": job.backbone.name,
        "data": {"name": job.collection.name, "source": job.collection.source, "pairs": len(job.pairs),
                 "fingerprint": job.pairs.fingerprint, "notes": [*job.collection.notes, *job.pairs.notes]},
        "weights": {"moved": moved, "all": weights},
        "processes": n_processes(),
        "steps": trained.steps,
        "chosen_step": trained.chosen,
        "temperature": job.settings.training.temperature_for(job.backbone.similarity),
        "masked_pairs": 0 if job.pairs.relevance is None else job.pairs.relevance.rows_with_false_negatives,
        "overlaps": [asdict(overlap) for overlap in job.overlaps],
        "warnings": [ALL_TIED] if trained.tied else [],
        "curve": list(trained.curve),
        "settings": plain(job.settings),
        "versions": software(),
    }  # fmt: skip


def card(job: TrainJob, base: str) -> str:
    """Return the text of the model card: the training data, the recipe, and how to load the model."""
    training, recipe = job.settings.training, job.backbone.passage.recipe
    rows = {
        "backbone": base,
        "trained with": f"{len(job.pairs):,} pairs of {job.collection.name}",
        "re-initialised before": ", ".join(job.settings.reinitialise) or "nothing",
        "checkpoint chosen with": "the last one" if job.dev is None else f"{job.dev.name}, nDCG@10",
        "strategy": training.strategy,
        "negatives": _negatives(training),
        "pooling, similarity": f"{recipe.pooling}, {job.backbone.similarity}",
        "temperature": f"{training.temperature_for(job.backbone.similarity):g}",
        "masked negatives": "; ".join(_masked(job.pairs)) or "none: no other query's passage is judged relevant",
        "overlap of held-out queries with the training pairs": "; ".join(overlap.words() for overlap in job.overlaps)
        or "no held-out queries were named",
        "prompts": f"{job.backbone.query.recipe.prompt!r} and {recipe.prompt!r}",
        "batch, learning rate, seed": f"{_batch(training)}, {training.peak_rate:g}, {training.seed}",
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return (
        "---\nlibrary_name: sentence-transformers\npipeline_tag: sentence-similarity\n"
        f"base_model: {json.dumps(base)}\n---\n\n"
        f"# A retriever trained from {job.backbone.name}\n\n"
        f"Made by `retroscope train`; all settings and the training curve are in `{ABOUT}`.\n\n"
        f"| | |\n|---|---|\n{table}\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("this folder")\n'
        'scores = model.similarity(model.encode_query(["..."]), model.encode_document(["..."]))\n```\n'
    )


def _batch(settings: TrainingSettings) -> str:
    return f"{settings.batch_size}" + (f" on each of {n_processes()} processes" if n_processes() > 1 else "")


def _negatives(settings: TrainingSettings) -> str:
    how = {"bm25": "by BM25", "given": "that came with the data"}[settings.negatives]
    hard = f", and {settings.hard_negatives} {how} of each pair" if settings.hard_negatives else ""
    return f"the batch's{hard}"
