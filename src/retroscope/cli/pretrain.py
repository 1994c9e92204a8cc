"""retroscope pretrain --objective O --text FILE --out DIR."""

from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    out: o.RequiredOut,
    objective: Annotated[str | None, typer.Option("--objective", help="mlm, clm, retromae or crops.")] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="A file with a document a line, UTF-8; may be repeated.", metavar="FILE"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A collection whose passages are documents.", metavar="SPEC")
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option("--shape", help="New weights: bert-, llama- or t5- and tiny, mini, small, medium or e.g. 3x128."),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="Or a checkpoint to go on from.", metavar="MODEL")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="words, wordpiece:N or bpe:N, trained on the text; or a folder."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Of the optimiser.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Texts a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="At its highest.")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Tokens; longer documents are cut up.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights, order and masks.")] = None,
    device: o.Device = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Pre-train a backbone.

    From random weights or a checkpoint, on text of your own; interrupted, the same command goes on.
    """
    from retroscope.cli.resolve import resolve_as
    from retroscope.cli.terminal import emit, note, progress_bars, say
    from retroscope.study.pretraining import PretrainStudySettings, describe, prepare_pretraining, run_pretraining
    from retroscope.training.processes import is_first

    chosen = resolve_as(
        PretrainStudySettings,
        {
            "text": text,
            "data": o.given(source=data),
            "shape": shape,
            "start": start,
            "tokenizer": tokenizer,
            "device": device,
            "pretraining": o.given(
                objective=objective,
                steps=steps,
                batch_size=batch_size,
                learning_rate=learning_rate,
                max_length=max_length,
                seed=seed,
            ),
        },
        settings,
        assignments,
    )
    job = prepare_pretraining(chosen)
    note(describe(job))
    with progress_bars() as progress:
        document = run_pretraining(job, out, progress)
    if is_first():
        emit(document) if as_json else say(f"backbone: {out}")
