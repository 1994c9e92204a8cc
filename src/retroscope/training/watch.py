"""Watching a training: the loss must stay finite, progress is reported, logs and checkpoints have a rhythm."""

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from retroscope.errors import TrainingError
from retroscope.progress import Progress


@dataclass
class Watch(TrainerCallback):  # type: ignore[misc]
    """A Trainer callback that reports progress and stops a training whose loss is not a number.

    The trainer logs before it writes a checkpoint, so that none is written with weights that are not numbers (see
    `Rhythm`).
    """

    progress: Progress | None = None
    what: str = "training"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Report how many steps are done."""
        if self.progress:
            self.progress(self.what, state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Stop if the mean loss since the last log is no number."""
        loss = rest["logs"].get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss:g} before step {state.global_step}",
                where=str(args.output_dir),
                fix="lower the learning rate, or use float32 or bfloat16; the last checkpoint is kept",
            )


@dataclass(frozen=True)
class Rhythm:
    """How often, in steps, the trainer logs and writes a checkpoint; the latter is a multiple of the former."""

    log: int
    save: int


def rhythm(steps: int, checkpoints: int, logs: int = 100) -> Rhythm:
    """Return intervals for about so many checkpoints and logs in so many steps."""
    log = max(1, steps // logs)
    return Rhythm(log, max(1, round(steps / checkpoints / log)) * log)


class Schedule(Protocol):
    """The optimiser's part of both kinds of training settings."""

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
    """Return the arguments of every Trainer here; the rate rises, then falls to 0, both linearly."""
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


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise TrainingError(
            "the disk is full", where=str(folder), fix="free some space and repeat the command; it goes on from there"
        ) from error
