"""Helpers of a training: check its loss, report its progress, and schedule its log entries and checkpoints."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from retroscope.errors import TrainingError
from retroscope.files.disk_errors import disk_full, is_full
from retroscope.files.whole import sync_folder
from retroscope.progress import Progress

WHOLE = "whole"  # file that marks a checkpoint as complete; it lists all other files with their sizes


@dataclass
class Watch(TrainerCallback):  # type: ignore[misc]
    """A Trainer callback that reports progress, stops a training if its loss is not finite, and marks checkpoints.

    The Trainer logs the loss before it writes a checkpoint, so a checkpoint is never written after a loss that is not
    finite (see `Rhythm`).
    """

    progress: Progress | None = None
    what: str = "training"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Report the number of finished optimiser steps."""
        if self.progress:
            self.progress(self.what, state.global_step, state.max_steps)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Mark a checkpoint as complete, after all its files are on disk."""
        if state.is_world_process_zero:
            checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            sync_folder(checkpoint)
            (checkpoint / WHOLE).write_text(listed_files(checkpoint), encoding="utf-8")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Stop the training if the mean loss since the last log is not finite."""
        loss = rest["logs"].get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the training loss is not a finite number ({loss:g}) before step {state.global_step}",
                where=str(args.output_dir),
                fix="lower the learning rate, or use float32 or bfloat16; the last checkpoint is kept",
            )


def listed_files(checkpoint: Path) -> str:
    """Return a line "SIZE NAME" for every file of a checkpoint, as one string."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != WHOLE)
    return "".join(f"{path.stat().st_size} {path.relative_to(checkpoint).as_posix()}\n" for path in files)


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint is marked as complete and still has all its files with their sizes.

    A run that is killed while the Trainer removes an older checkpoint leaves a part of its files.
    """
    mark = checkpoint / WHOLE
    return mark.is_file() and mark.read_text(encoding="utf-8") == listed_files(checkpoint)


@dataclass(frozen=True)
class Rhythm:
    """How many optimiser steps lie between two log entries (`log`), and between two checkpoints (`save`).

    `save` is a multiple of `log`.
    """

    log: int
    save: int


def rhythm(steps: int, checkpoints: int, logs: int = 100) -> Rhythm:
    """Return the intervals that give about this many checkpoints and log entries in a training of `steps` steps."""
    log = max(1, steps // logs)
    return Rhythm(log, max(1, round(steps / checkpoints / log)) * log)


class Schedule(Protocol):
    """Interface of the settings that pre-training and fine-tuning share, e.g. batch size and warm-up."""

    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def warmup(self) -> float: ...  # noqa: D102
    @property
    def weight_decay(self) -> float: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def shared_arguments(settings: Schedule, peak_rate: float, folder: Path, often: Rhythm, device: str) -> dict[str, Any]:
    """Return the keyword arguments for the Trainer's `TrainingArguments` that pre-training and fine-tuning share.

    The learning rate rises linearly to `peak_rate`, then falls linearly to 0.
    """
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": peak_rate,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "lr_scheduler_type": "linear",
        "bf16": settings.precision == "bfloat16",
        "fp16": settings.precision == "float16",
        "use_cpu": device == "cpu",
        "seed": settings.seed,
        "data_seed": settings.seed,
        "save_strategy": "steps",
        "save_steps": often.save,
        "save_total_limit": 2,
        "logging_steps": often.log,
        "logging_nan_inf_filter": False,
        "restore_callback_states_from_checkpoint": True,  # the patience of early stopping
        "report_to": "none",
        "disable_tqdm": True,
    }


def logged(history: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], ...]:
    """Return the training curve: the rows that the Trainer logged, without running times and speeds.

    The last row of the Trainer is left out: it summarises the last run, so it would differ if the training was
    interrupted.
    """
    rows = [row for row in history if "train_runtime" not in row]
    return tuple({name: float(row[name]) for name in sorted(row) if _is_measured(name, row[name])} for row in rows)


def _is_measured(name: str, value: object) -> bool:
    return isinstance(value, int | float) and not name.endswith(("_runtime", "_per_second"))


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Convert the error of any library about a full disk to a `SettingsError` that names the folder."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise disk_full(str(folder)) from error
