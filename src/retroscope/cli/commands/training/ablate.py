"""`retroscope ablate [BACKBONE] --data SPEC --test SPLIT --out DIR`: run a training ablation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from retroscope.cli.defaults import option, written
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.options.training import PassOptions
from retroscope.cli.values import comma_separated, measures, numbers, split_or_spec
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.study.training.grid_settings import GridSettings

EXAMPLE = "retroscope ablate bert-base-uncased --pooling mean --data beir:data/nq --test test --out runs/ablation"
GRID = "study.training.grid_settings:GridSettings"


@dataclass(frozen=True, kw_only=True)
class LevelOptions:
    """Options of a training ablation: parts, label counts, strategies and seeds, of which all combinations are run."""

    HEADING: ClassVar[str] = "Levels"

    reinitialise: Annotated[
        str | None,
        option(
            "--reinitialise", help="Re-initialisations to compare, comma-separated. Each names the parts of the "
                                   "backbone to re-initialise before fine-tuning, joined by +, e.g. "
                                   "none,all,top:2+norms",
               metavar="LEVELS", default=written(f"{GRID}.reinitialise", "none,all"),
        ),
    ] = None  # fmt: skip
    labels: Annotated[
        str | None,
        option("--labels", help="Sizes of the training set to compare, in queries, comma-separated, "
                                  "e.g. 100,1000",
               metavar="LEVELS",
               default="all"),
    ] = None  # fmt: skip
    strategy: Annotated[
        str | None,
        option("--strategy", help="Training strategies (which weights are trained), comma-separated: full, lora, "
                                  "head, bitfit, norms",
               metavar="LEVELS", default=written(f"{GRID}.strategies", "full")),
    ] = None  # fmt: skip
    seeds: Annotated[
        str | None,
        option(
            "--seeds",
            help="Random seeds of the trainings, comma-separated, e.g. 0,1,2",
            metavar="LEVELS",
            default=written(f"{GRID}.seeds", "0,1,2"),
        ),
    ] = None
    measures: o.Measures = None

    def values(self) -> o.SettingValues:
        """Return the values to combine, by the name of their setting. None stands for an option that was not given."""
        return {
            "reinitialise": comma_separated(self.reinitialise),
            "labels": numbers(self.labels, "--labels"),
            "strategies": comma_separated(self.strategy),
            "seeds": numbers(self.seeds, "--seeds"),
            "measures": measures(self.measures),
        }


@dataclass(frozen=True, kw_only=True)
class TestedOptions:
    """Options that name the training pairs and the collections on which every retriever is tested."""

    HEADING: ClassVar[str] = "Collection"

    data: o.AnyData = None
    split: Annotated[
        str | None,
        option(
            "--split",
            help="Split of the judgments (qrels) to train with, e.g. train",
            metavar="NAME",
            default="train, else the only one",
        ),
    ] = None
    test: Annotated[
        list[str] | None,
        option(
            "--test",
            help="Test collection: a split of --data, or another collection as FORMAT:PATH; may be repeated",
            metavar="SPLIT",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """Options that read settings from a file or `--set`, and options of the printed output."""

    settings: o.SettingsFile = None
    assignments: o.Set = None
    dry_run: o.DryRun = False
    as_json: o.Json = False


@flat()
def run(
    out: o.OutUnlessDryRun,
    source: TestedOptions,
    levels: LevelOptions,
    models: o.ModelOptions,
    passes: PassOptions,
    options: GridOptions,
    backbone: Annotated[
        str | None,
        typer.Argument(help="Backbone: a folder or a hub name; a settings file may name several", metavar="BACKBONE"),
    ] = None,
) -> None:
    """Measure what each part of the pre-trained weights contributes.

    In a training ablation, parts of a backbone are re-initialised before the backbone is fine-tuned and measured,
    for every combination of parts, label counts, strategies and seeds. Repeat the command to continue an
    interrupted ablation.
    """
    from retroscope.cli.resolve import resolve_as
    from retroscope.inputs.settings import ModelSettings
    from retroscope.inputs.sources import look_for_data, look_for_model, look_for_pooling
    from retroscope.study.training.grid_settings import GridSettings

    values = {
        "backbones": {Path(backbone).name: backbone} if backbone else None,
        "load": models.values(),
        "training": passes.values(),
        **levels.values(),
        **_collections(source, options),
    }
    settings = resolve_as(GridSettings, values, options.settings, options.assignments)
    for place in settings.backbones.values():
        loaded = ModelSettings(source=place, load=settings.load)
        look_for_model(loaded)
        look_for_pooling(loaded)
    for data in (settings.data, *settings.tests):
        look_for_data(data)
    load_libraries()
    _ablate(settings, out, dry_run=options.dry_run, as_json=options.as_json)


def _collections(source: TestedOptions, options: GridOptions) -> o.SettingValues:
    """Return the settings of the training and test collections; the settings file may name the training collection.

    Raises:
        SettingsError: if `--test` names a split, but no training collection is given that could have it.
    """
    from retroscope.cli.resolve import resolved
    from retroscope.study.training.splits import training_split

    data = resolved({}, options.settings, options.assignments).get("data")
    named = data if isinstance(data, Mapping) else {}
    place = source.data or named.get("source")
    split = source.split or (named.get("split") if place == named.get("source") else None)
    tests = [split_or_spec(name, place or "") for name in source.test or ()]
    without_source = [str(test["split"]) for test in tests if test is not None and not test["source"]]
    if without_source:
        raise SettingsError(
            f"--test names only a split ({without_source[0]!r}), but no collection is given that it belongs to",
            fix="give the training collection (--data SPEC, or `data.source` in the settings file), or test with "
            "another collection: --test FORMAT:PATH",
        )
    training = {"data": {"source": place, "split": training_split(place, split)}} if isinstance(place, str) else {}
    return {"tests": tests or None, **training}


def _ablate(settings: "GridSettings", out: Path | None, *, dry_run: bool, as_json: bool) -> None:
    from retroscope.cli.terminal import claimed, emit, note, say
    from retroscope.display import progress_bars
    from retroscope.files.whole import refuse_other_report
    from retroscope.study.folder import GRID, REPORTED
    from retroscope.study.training.grid import describe_grid, plan_of_grid, prepare_grid, run_grid
    from retroscope.study.training.grid_report import grid_text
    from retroscope.study.training.grid_summary import (
        gather,
        grid_document,
        grid_findings,
        save_gathered,
        write_grid_report,
    )

    grid = prepare_grid(settings)
    if dry_run or out is None:
        emit(plan_of_grid(grid, out)) if as_json else say(describe_grid(grid, out))
        return
    note(describe_grid(grid, out))
    refuse_other_report(out, GRID, REPORTED)
    with claimed(out), progress_bars() as progress:
        gathered = gather(grid, run_grid(grid, out, progress))
        save_gathered(grid, gathered, out)
        findings = grid_findings(grid, gathered)
        page = write_grid_report(findings, out)
    emit(grid_document(findings)) if as_json else say(grid_text(findings))
    note(f"report: {page}")
