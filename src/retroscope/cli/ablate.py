"""retroscope ablate [BACKBONE] --data SPEC --test SPLIT --out DIR."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli import options as o
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.study.grid_settings import GridSettings


def run(
    out: o.RequiredOut,
    backbone: Annotated[
        str | None, typer.Argument(help="Folder or hub name of a checkpoint; a settings file may name several.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Collection: a path or FORMAT:PATH, e.g. beir:data/nq.", metavar="SPEC")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Of the judgments to train with; 'train' where there is one.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option("--test", help="What is measured: a split of --data, or SPEC; may be repeated.")
    ] = None,
    reinitialise: Annotated[
        str | None,
        typer.Option(
            "--reinitialise",
            help="Levels, e.g. none,all,top:2,embeddings+norms: what is drawn afresh before fine-tuning.",
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Levels, e.g. 100,1000: training queries; all unless given.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="Levels of full, lora, head, bitfit, norms.")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Levels, e.g. 0,1,2.")] = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Pairs; the others are negatives.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Over the pairs.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Instead of epochs.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Else the strategy's own.")] = None,
    measures: o.Measures = None,
    device: o.Device = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Ablate pre-training: what was each part of it worth?

    Draws parts of a backbone afresh, fine-tunes and measures, for every combination of settings and seeds;
    interrupted, the same command goes on.
    """
    from retroscope.cli.resolve import resolve_as
    from retroscope.study.grid_settings import GridSettings
    from retroscope.study.training import training_split

    if test and not data:
        raise SettingsError("--test without --data", fix="give --data SPEC")
    load = {"pooling": pooling, "max_length": max_length, "similarity": similarity, "query_prompt": query_prompt,
            "passage_prompt": passage_prompt, "device": device}  # fmt: skip
    chosen = resolve_as(
        GridSettings,
        {
            "backbones": {Path(backbone).name: backbone} if backbone else None,
            "load": o.given(**load),
            "data": {"source": data, "split": training_split(data, split)} if data else None,
            "tests": [o.split_or_spec(name, data or "") for name in test or ()] or None,
            "reinitialise": o.listed(reinitialise),
            "labels": o.numbers(labels),
            "strategies": o.listed(strategy),
            "seeds": o.numbers(seeds),
            "measures": o.listed(measures),
            "training": o.given(batch_size=batch_size, epochs=epochs, steps=steps, learning_rate=learning_rate),
        },
        settings,
        assignments,
    )
    _ablate(chosen, out, dry_run=dry_run, as_json=as_json)


def _ablate(chosen: "GridSettings", out: Path, *, dry_run: bool, as_json: bool) -> None:
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.documents import as_json as in_json
    from retroscope.documents import write_text
    from retroscope.files import refuse_foreign
    from retroscope.study.grid import describe_grid, prepare_grid, run_grid
    from retroscope.study.grid_report import write_grid_report
    from retroscope.study.grid_summary import GRID, gather, grid_document, grid_findings, save_gathered

    grid = prepare_grid(chosen)
    if dry_run:
        say(describe_grid(grid, out))
        return
    note(describe_grid(grid, out))
    with claimed(out), progress_bars() as progress:
        for made in ("tables", "figures"):
            refuse_foreign(out / made)
        gathered = gather(grid, run_grid(grid, out, progress))
    save_gathered(grid, gathered, out)
    findings = grid_findings(grid, gathered)
    document = grid_document(findings)
    write_text(out / GRID, in_json(document))
    page = write_grid_report(findings, out)
    emit(document) if as_json else say("\n".join(document["verdict"]))
    note(f"report: {page}")
