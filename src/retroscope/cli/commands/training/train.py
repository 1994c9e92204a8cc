"""`retroscope train BACKBONE --data SPEC --out DIR`: fine-tune a backbone into a retriever."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from retroscope.cli.defaults import option
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.options.training import PassOptions, TrainingOptions
from retroscope.cli.values import split_or_spec

if TYPE_CHECKING:
    from retroscope.study.training.settings import TrainStudySettings

EXAMPLE = "retroscope train bert-base-uncased --pooling mean --data beir:data/nq --dev dev --out models/nq"


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Options that name the training pairs and the held-out queries."""

    HEADING: ClassVar[str] = "Collection"

    data: o.Data
    split: Annotated[
        str | None,
        option("--split", help="Qrels split to train with", metavar="NAME", default="train, else the only one"),
    ] = None
    dev: Annotated[
        str | None,
        option(
            "--dev", help="Held-out queries that select the best checkpoint: a split of --data, or another "
                          "collection as FORMAT:PATH", metavar="SPLIT",
            default="none: the last checkpoint is kept",
        ),
    ] = None  # fmt: skip
    test: Annotated[
        list[str] | None,
        option(
            "--test", help="Test queries, which must not be among the training pairs: a split of --data, or another "
            "collection; may be repeated", metavar="SPLIT", default="the split named test, if there is one",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """Options that read settings from a file or from `--set`, and options of the printed output."""

    settings: o.SettingsFile = None
    assignments: o.Set = None
    as_json: o.Json = False


@flat()
def run(
    backbone: Annotated[str, typer.Argument(help="Backbone: a folder, a hub name or a GGUF file", metavar="BACKBONE")],
    out: o.RequiredOut,
    pairs: PairOptions,
    models: o.ModelOptions,
    passes: PassOptions,
    training: TrainingOptions,
    options: SettingsOptions,
    reinitialise: Annotated[
        str | None,
        option(
            "--reinitialise",
            help="Parts of the backbone to re-initialise before training: all, top:K (the last K blocks), bottom:K "
            "(the first K blocks), embeddings, attention, ffn, norms; joined by +",
            metavar="PARTS",
            default="none",
        ),
    ] = None,
) -> None:
    """Fine-tune a backbone into a retriever.

    The training is contrastive and writes a sentence-transformers folder. Repeat the command to continue an
    interrupted training.
    """
    values = {
        "backbone": {"source": backbone},
        "backbone.load": models.values(),
        "dev": split_or_spec(pairs.dev, pairs.data),
        "reinitialise": reinitialise.split("+") if reinitialise else None,
        "training": passes.values() | training.values(),
    }

    from retroscope.cli.resolve import resolve_as
    from retroscope.inputs.sources import look_for_data, look_for_model, look_for_pooling
    from retroscope.study.training.settings import TrainStudySettings
    from retroscope.study.training.splits import test_split, training_split

    tests = pairs.test or test_split(pairs.data, pairs.split)
    values |= {
        "data": {"source": pairs.data, "split": training_split(pairs.data, pairs.split)},
        "test": [split_or_spec(name, pairs.data) for name in tests] or None,
    }
    settings = resolve_as(TrainStudySettings, values, options.settings, options.assignments)
    look_for_model(settings.backbone)
    look_for_pooling(settings.backbone)
    for data in (settings.data, settings.dev, *settings.test):
        look_for_data(data)
    load_libraries()
    _train(settings, out, as_json=options.as_json)


def _train(settings: "TrainStudySettings", out: Path, *, as_json: bool) -> None:
    from retroscope.cli.terminal import emit, note, say
    from retroscope.display import progress_bars
    from retroscope.study.training.fine_tuning import describe_training, prepare_training, run_training
    from retroscope.training.processes import is_first

    job = prepare_training(settings)
    note(describe_training(job))
    with progress_bars() as progress:
        document = run_training(job, out, progress)
    if is_first():
        for warning in document["warnings"]:
            note(f"warning: {warning}")
        step = f"step {document['chosen_step']:,} of {document['steps']:,}"
        emit(document) if as_json else say(f"retriever: {out} ({step})")
