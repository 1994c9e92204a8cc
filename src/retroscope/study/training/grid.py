"""Run a training ablation: train and test every combination of levels (a cell) that is not finished yet."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.collection.collection import Collection
from retroscope.collection.loading import with_queries
from retroscope.encoders.checkpoints.folders import locate
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError
from retroscope.files.documents import SCHEMA
from retroscope.files.locks import held
from retroscope.files.partials import remove_abandoned
from retroscope.files.whole import file_digest, refuse_other_report, remove_whole
from retroscope.inputs.load import collection_of, retriever_of
from retroscope.inputs.provenance import made_by
from retroscope.inputs.searched import searched
from retroscope.inputs.settings import ModelSettings
from retroscope.inputs.settings_files import plain
from retroscope.progress import Progress
from retroscope.scores import Scores
from retroscope.study.embed import read_lines
from retroscope.study.folder import GRID, REPORTED
from retroscope.study.training.cells import is_complete, stored_scores, write_cell
from retroscope.study.training.fine_tuning import TrainJob, run_training
from retroscope.study.training.grid_settings import Cell, GridSettings, cells_of, levels
from retroscope.study.training.pretraining import prepare_pretraining, run_pretraining
from retroscope.study.training.settings import TrainStudySettings
from retroscope.surgery.reinitialise import reinitialise
from retroscope.training.overlap import TrainingOverlap, overlap_with
from retroscope.training.pairs import check_held_out, training_pairs
from retroscope.training.processes import n_processes

FEWEST_STEPS = 20


@dataclass(frozen=True, eq=False)
class Grid:
    """A training ablation that is ready to run. Its data are loaded and checked, its models are not yet loaded.

    Attributes:
        tests: name of a test collection -> the collection.
        axes: factor, e.g. "strategy" -> its levels, e.g. "full" and "lora".
    """

    settings: GridSettings
    collection: Collection
    tests: Mapping[str, Collection]
    axes: dict[str, tuple[Any, ...]]

    @cached_property
    def cells(self) -> list[Cell]:
        """Return the training runs (cells) for all combinations of levels, in the order in which they run."""
        return cells_of(self.axes)

    @cached_property
    def overlaps(self) -> list[TrainingOverlap]:
        """Return the overlap of each test collection with all training pairs. A cell may use only some of the pairs."""
        pairs = training_pairs(self.collection)
        return [overlap_with(pairs, test) for test in self.tests.values()]

    @cached_property
    def shared_key(self) -> str:
        """Return the SHA-256 of the data, settings and software that all training runs (cells) share."""
        values = plain(self.settings)
        key_parts = [values["training"], values["load"], list(self.settings.measures), self.collection.fingerprint,
                {name: test.fingerprint for name, test in self.tests.items()},
                made_by()]  # fmt: skip
        return _hash(key_parts)

    @cached_property
    def backbone_keys(self) -> dict[str, str]:
        """Map each backbone to a hash of its checkpoint or, if the ablation pre-trains it, of its pre-training."""
        named = {name: _load(self.settings, source).passage.fingerprint
                 for name, source in self.settings.backbones.items()}  # fmt: skip
        return named | {name: _hash([name, *self._pretraining_key]) for name in self.settings.objectives}

    @cached_property
    def _pretraining_key(self) -> list[Any]:
        study = self.settings.pretraining
        if study is None:
            return []
        read = [hashlib.sha256("\n".join(read_lines(Path(name))).encode()).hexdigest() for name in study.text]
        tokenizer = Path(study.tokenizer or "")
        named = ([locate(study.start)] if study.start else []) + ([tokenizer] if study.tokenizer else [])
        own = [_contents(place) for place in named if place.exists()]
        return [plain(study), read, own, collection_of(study.data).fingerprint if study.data else ""]

    def key(self, cell: Cell) -> str:
        """Return the SHA-256 of everything that determines the scores of one training run (cell)."""
        return _hash([self.shared_key, self.backbone_keys[cell.backbone], repr(cell)])


def prepare_grid(settings: GridSettings) -> Grid:
    """Load the collections, check that no test query is used for training, and return the ablation to run."""
    collection = collection_of(settings.data)
    tests = _tests(settings)
    check_held_out(training_pairs(collection), tests.values())
    grid = Grid(settings, collection, tests, levels(settings, len(collection.judged_queries)))
    _check_levels(grid)
    return grid


def _tests(settings: GridSettings) -> dict[str, Collection]:
    """Map the name of each test collection (its split, or "collection/split" if splits repeat) to the collection.

    Raises:
        SettingsError: if two collections get the same name.
    """
    loaded = [(data, collection_of(data)) for data in settings.tests]
    short = Counter(data.split or test.name for data, test in loaded)
    tests: dict[str, Collection] = {}
    for data, test in loaded:
        name = data.split or test.name
        if short[name] > 1 and data.split:
            name = f"{test.name}/{data.split}"
        if name in tests:
            raise SettingsError(
                f"two test collections have the name {name!r}: {tests[name].source} and {test.source}",
                fix="rename one of the two folders or files, or leave out one of the two collections",
            )
        tests[name] = test
    return tests


def _check_levels(grid: Grid) -> None:
    """Refuse a run in several processes, and settings with too few training steps."""
    if n_processes() > 1:
        raise SettingsError(
            f"a training ablation runs in one process, but {n_processes()} were started",
            fix="start `retroscope ablate` without torchrun",
        )
    few = min(steps_of(grid).values())
    if grid.settings.training.steps is None and few < FEWEST_STEPS:
        raise SettingsError(
            f"with {min(grid.axes['labels'])} labels, {grid.settings.training.epochs:g} epochs make only {few} steps",
            fix=f"give --steps N, or more --epochs, for at least {FEWEST_STEPS} steps",
        )


def steps_of(grid: Grid) -> dict[int, int]:
    """Map each training-set size, in queries, to the number of training steps with this set."""
    every = len(grid.collection.judged_queries)
    pairs, training = len(training_pairs(grid.collection)), grid.settings.training
    return {n: training.steps or math.ceil(pairs * n / every / training.batch_size * training.epochs)
            for n in grid.axes["labels"]}  # fmt: skip


def run_grid(grid: Grid, folder: Path, progress: Progress | None = None) -> dict[Cell, dict[str, Scores]]:
    """Train and test every combination of levels (cell) that `folder` lacks; return all scores by cell and test.

    Raises:
        TrainingError: if the folder holds a cell of the same name from another training ablation.
        SettingsError: if another run is writing to the folder, or the folder holds another report, or files that no
            training ablation wrote.
    """
    refuse_other_report(folder, GRID, REPORTED)
    scores_by_cell, backbones = {}, dict[tuple[str, int], Path]()
    with held(folder):
        for number, cell in enumerate(grid.cells):
            if progress:
                progress("cells", number, len(grid.cells))
            place = folder / "cells" / cell.name
            remove_abandoned(place)
            scores = stored_scores(place, grid.key(cell), grid.tests)
            if scores is None:
                backbone = _backbone(grid, cell, folder, backbones, progress)
                scores = _run_cell(grid, cell, backbone, place, progress)
            _clear(grid, place)
            scores_by_cell[cell] = scores
    if progress:
        progress("cells", len(grid.cells), len(grid.cells))
    return scores_by_cell


def finished_cells(grid: Grid, folder: Path) -> int:
    """Count the training runs (cells) that are complete in `folder`."""
    return sum(is_complete(folder / "cells" / cell.name, grid.key(cell)) for cell in grid.cells)


def _run_cell(grid: Grid, cell: Cell, backbone: str, place: Path, progress: Progress | None) -> dict[str, Scores]:
    """Train one model (cell), score it on every test collection, store the scores and return them."""
    report = None if progress is None else _within(progress, cell)
    model = place / "model"
    job = _job(grid, cell, backbone)
    trained = run_training(job, model, report)
    retriever = load_retriever(model, device=grid.settings.load.device)
    measures, vectors = grid.settings.measures, place / "vectors"
    scores = {name: searched(retriever, test, measures, vectors, report) for name, test in grid.tests.items()}
    about = {"key": grid.key(cell), "cell": vars(cell), "training": trained}
    return write_cell(place, about, scores, grid.tests)


def _clear(grid: Grid, place: Path) -> None:
    """Remove files that a finished training run (cell) does not need: vectors and, unless they are kept, models."""
    remove_whole(place / "vectors")
    if not grid.settings.keep_models:
        remove_whole(place / "model")


def _job(grid: Grid, cell: Cell, source: str) -> TrainJob:
    settings = grid.settings
    backbone = _load(settings, source)
    if cell.parts:
        backbone = reinitialise(backbone, cell.parts, cell.seed)
    labelled = with_labels(grid.collection, cell.labels, cell.seed)
    training = replace(settings.training, strategy=cell.strategy, seed=cell.seed)
    pairs = training_pairs(labelled, training.hard_negatives, training.negatives)
    study_settings = TrainStudySettings(
        backbone=ModelSettings(source=source, load=settings.load),
        data=settings.data,
        training=training,
        reinitialise=cell.parts,
    )
    return TrainJob(backbone, labelled, pairs, None, study_settings)


def _backbone(
    grid: Grid, cell: Cell, folder: Path, trained: dict[tuple[str, int], Path], progress: Progress | None
) -> str:
    """Return the checkpoint of the backbone that a training run (cell) starts from.

    For a pre-training objective, the backbone is pre-trained once per seed.
    """
    settings, study, which = grid.settings, grid.settings.pretraining, (cell.backbone, cell.seed)
    if cell.backbone in settings.backbones or study is None:
        return settings.backbones[cell.backbone]
    if which not in trained:
        job_settings = replace(study.pretraining, objective=cell.backbone, seed=cell.seed)
        trained[which] = folder / "backbones" / f"{cell.backbone}_seed{cell.seed}"
        run_pretraining(prepare_pretraining(replace(study, pretraining=job_settings)), trained[which], progress)
    return str(trained[which])


def with_labels(collection: Collection, n: int, seed: int) -> Collection:
    """Return the collection with `n` of its judged queries, which are drawn by `seed` and stay in their order.

    With the same seed, a larger sample contains every smaller one.
    """
    every = collection.judged_queries
    if n == len(every):
        return collection
    order = np.random.default_rng([seed, 4]).permutation(len(every))
    note = f"{n} of {len(every)} judged queries, drawn by seed {seed}"
    return with_queries(collection, {every[at] for at in order[:n]}, note)


def _load(settings: GridSettings, source: str) -> Retriever:
    return retriever_of(ModelSettings(source=source, load=settings.load), "backbone")


def _within(progress: Progress, cell: Cell) -> Progress:
    return lambda what, done, total: progress(f"{cell.name}: {what}", done, total)


def _contents(place: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files directly in a folder."""
    digest = hashlib.sha256()
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        if file.is_file():
            digest.update(file.name.encode())
            digest.update(bytes.fromhex(file_digest(file)))
    return digest.hexdigest()


def _hash(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def plan_of_grid(grid: Grid, folder: Path | None) -> dict[str, Any]:
    """Return the plan of the training ablation as JSON-like values. Without a folder, no cell counts as finished."""
    return {
        "schema": SCHEMA,
        "cells": len(grid.cells),
        "done": 0 if folder is None else finished_cells(grid, folder),
        "training_queries": len(grid.collection.judged_queries),
        "axes": {axis: list(values) for axis, values in grid.axes.items()},
        "tests": {name: len(test.judged_queries) for name, test in grid.tests.items()},
    }


def describe_grid(grid: Grid, folder: Path | None) -> str:
    """Describe a training ablation in a few lines: its training runs, the levels of each factor, and its tests."""
    plan = plan_of_grid(grid, folder)
    trained = f"{plan['cells']} models to train (cells), {plan['done']} of them finished"
    lines = [f"{trained}; {plan['training_queries']:,} training queries"]
    lines += [f"  {axis}: {', '.join(map(str, values))}" for axis, values in plan["axes"].items()]
    lines += [f"  measured on {name}: {queries:,} queries" for name, queries in plan["tests"].items()]
    return "\n".join(lines)
