"""Callbacks and helpers of a training: check the loss, report progress, and schedule logs and checkpoints."""

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

WHOLE = "whole"  # file in a checkpoint that is on the disk; it lists all other files with their sizes


@dataclass
class Watch(TrainerCallback):  # type: ignore[misc]
    """A Trainer callback that reports progress, stops a training whose loss is not a number, and marks checkpoints.

    The trainer logs before it writes a checkpoint, so that none is written with weights that are not numbers (see
    `Rhythm`).
    """

    progress: Progress | None = None
    what: str = "training"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Report the number of steps done."""
        if self.progress:
            self.progress(self.what, state.global_step, state.max_steps)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Mark a checkpoint as complete once all of its files are on disk."""
        if state.is_world_process_zero:
            checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            sync_folder(checkpoint)
            (checkpoint / WHOLE).write_text(listed_files(checkpoint), encoding="utf-8")

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Stop the training if the mean loss since the last log is not finite."""
        loss = rest["logs"].get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the training loss is {loss:g} before step {state.global_step}",
                where=str(args.output_dir),
                fix="lower the learning rate, or use float32 or bfloat16; the last checkpoint is kept",
            )


def listed_files(checkpoint: Path) -> str:
    """Return the names and sizes of a checkpoint's files, one line each."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != WHOLE)
    return "".join(f"{path.stat().st_size} {path.relative_to(checkpoint).as_posix()}\n" for path in files)


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint has all files that were written.

    The Trainer removes an older checkpoint before it marks the new one as complete, so a run that is killed in between
    leaves half of the older checkpoint.
    """
    mark = checkpoint / WHOLE
    return mark.is_file() and mark.read_text(encoding="utf-8") == listed_files(checkpoint)


@dataclass(frozen=True)
class Rhythm:
    """Intervals in steps of the trainer's log, and of its checkpoints (a multiple of the former)."""

    log: int
    save: int


def rhythm(steps: int, checkpoints: int, logs: int = 100) -> Rhythm:
    """Return intervals that give about this many checkpoints and logs over this many steps."""
    log = max(1, steps // logs)
    return Rhythm(log, max(1, round(steps / checkpoints / log)) * log)


class Schedule(Protocol):
    """Interface of the optimiser settings that pre-training and fine-tuning share."""

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
    """Return the arguments of every Trainer here. The learning rate rises linearly, then falls linearly to 0."""
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
    """Return the logged rows of a training without times, as its training curve.

    The last row of the Trainer is left out, because it summarises a run instead of the whole training and therefore
    depends on interruptions.
    """
    rows = [row for row in history if "train_runtime" not in row]
    return tuple({name: float(row[name]) for name in sorted(row) if _is_measured(name, row[name])} for row in rows)


def _is_measured(name: str, value: object) -> bool:
    return isinstance(value, int | float) and not name.endswith(("_runtime", "_per_second"))


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Convert any library's error about a full disk to an error that says so."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise disk_full(str(folder)) from error
