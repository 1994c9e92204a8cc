"""`retroscope pretrain --objective NAME --text FILE --out DIR`: pre-train a backbone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from retroscope.cli.defaults import default_of, option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import given
from retroscope.training.pretraining.settings import OBJECTIVES, PretrainingSettings

if TYPE_CHECKING:
    from retroscope.study.training.settings import PretrainStudySettings

EXAMPLE = "retroscope pretrain --text data/text.txt --shape bert-small --tokenizer wordpiece:8000 --out models/small"


def _default(field: str) -> str:
    return default_of(PretrainingSettings, field)


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """Options that name the text, and the architecture or the checkpoint to start from."""

    HEADING: ClassVar[str] = "Text and model"

    text: Annotated[
        list[str] | None,
        option(
            "--text",
            help="File of the training text, with one document per line, UTF-8; may be repeated",
            metavar="FILE",
        ),
    ] = None
    data: Annotated[
        str | None,
        option(
            "--data", help="Collection whose passages are added to the documents of the training text", metavar="SPEC"
        ),
    ] = None
    shape: Annotated[
        str | None,
        option(
            "--shape",
            help="Architecture to train from random weights, as FAMILY-SIZE, e.g. bert-small. FAMILY: bert, llama or "
            "t5; SIZE: tiny, mini, small, medium or BLOCKSxWIDTH, e.g. 3x128",
            metavar="NAME",
        ),
    ] = None
    start: Annotated[
        str | None,
        option("--from", help="Checkpoint whose pre-training is continued, instead of --shape", metavar="MODEL"),
    ] = None
    tokenizer: Annotated[
        str | None,
        option(
            "--tokenizer",
            help="Tokenizer of the new model: words, wordpiece:N or bpe:N (N: vocabulary size), trained on the text; "
            "or the folder of a tokenizer",
            metavar="NAME",
            default="the checkpoint's",
        ),
    ] = None
    device: o.Device = None

    def values(self) -> o.SettingValues:
        """Return the options of text and model as settings. None stands for an option that was not given."""
        return {**vars(self), "data": given(source=self.data)}


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions:
    """Options of the pre-training: objective, number of steps, learning rate and seed."""

    HEADING: ClassVar[str] = "Training"

    objective: Annotated[
        str | None,
        option("--objective", help=f"Pre-training objective: {', '.join(OBJECTIVES)}", metavar="NAME",
               default=_default("objective"), known=tuple(OBJECTIVES), kind="objective"),
    ] = None  # fmt: skip
    steps: Annotated[
        int | None, option("--steps", help="Number of optimiser steps", metavar="N", default=_default("steps"))
    ] = None
    batch_size: Annotated[
        int | None,
        option("--batch-size", help="Number of texts per training batch", metavar="N", default=_default("batch_size")),
    ] = None
    learning_rate: Annotated[
        float | None,
        option(
            "--learning-rate", help="Peak learning rate of the training", metavar="X", default=_default("learning_rate")
        ),
    ] = None
    max_length: Annotated[
        int | None,
        option("--max-length", help="Maximum number of tokens per text; longer documents are split", metavar="N",
               default=_default("max_length")),
    ] = None  # fmt: skip
    seed: Annotated[
        int | None,
        option("--seed", help="Random seed for weights, data order and masks", metavar="N", default=_default("seed")),
    ] = None

    def values(self) -> o.SettingValues:
        """Return the given options as fields of `PretrainingSettings`. Options that were not given are left out."""
        return given(**vars(self))


@flat()
def run(
    out: o.RequiredOut,
    backbone: BackboneOptions,
    training: PretrainingOptions,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Pre-train a backbone on text.

    The training starts from random weights or from a checkpoint. Repeat the command to continue an interrupted
    training.
    """
    values = {**backbone.values(), "pretraining": training.values()}

    from retroscope.cli.resolve import resolve_as
    from retroscope.study.training.settings import PretrainStudySettings

    study_settings = resolve_as(PretrainStudySettings, values, settings, assignments)
    _look_for(study_settings)
    load_libraries()
    _pretrain(study_settings, out, as_json=as_json)


def _look_for(settings: "PretrainStudySettings") -> None:
    """Refuse missing files, a missing checkpoint or a missing collection, before torch is imported."""
    from retroscope.errors import CollectionError
    from retroscope.files.reading import check_file, path_of
    from retroscope.inputs.settings import ModelSettings
    from retroscope.inputs.sources import look_for_data, look_for_model

    for name in settings.text:
        check_file(path_of(name), CollectionError)
    look_for_model(ModelSettings(source=settings.start))
    look_for_data(settings.data)


def _pretrain(settings: "PretrainStudySettings", out: Path, *, as_json: bool) -> None:
    from retroscope.cli.terminal import emit, note, say
    from retroscope.display import progress_bars
    from retroscope.study.training.pretraining import describe_pretraining, prepare_pretraining, run_pretraining
    from retroscope.training.processes import is_first

    job = prepare_pretraining(settings)
    note(describe_pretraining(job))
    with progress_bars() as progress:
        document = run_pretraining(job, out, progress)
    if is_first():
        emit(document) if as_json else say(f"backbone: {out}")
