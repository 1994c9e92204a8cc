"""retroscope train BACKBONE --data SPEC --out DIR."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli import options as o

if TYPE_CHECKING:
    from retroscope.study.training import TrainStudySettings


def run(
    backbone: Annotated[str, typer.Argument(help="Folder or hub name of a checkpoint; a GGUF file.")],
    data: o.Data,
    out: o.RequiredOut,
    split: Annotated[
        str | None, typer.Option("--split", help="Of the judgments to train with; 'train' where there is one.")
    ] = None,
    dev: Annotated[
        str | None,
        typer.Option("--dev", help="Held-out queries that choose the checkpoint: a split of --data, or SPEC."),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            help="Queries that must not be trained with: split or SPEC; repeatable. Else split 'test', if any.",
        ),
    ] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="full, lora, head, bitfit or norms.")] = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    append_eos: Annotated[
        bool | None, typer.Option("--append-eos/--no-append-eos", help="End every text with EOS (RepLLaMA).")
    ] = None,
    reinitialise: Annotated[
        str | None,
        typer.Option(
            "--reinitialise",
            help="Draw afresh before: all, top:K, bottom:K, embeddings, attention, ffn, norms; joined by +.",
        ),
    ] = None,
    two_towers: Annotated[bool, typer.Option("--two-towers", help="A copy of the backbone for queries.")] = False,
    hard_negatives: Annotated[int | None, typer.Option("--hard-negatives", help="Of each pair, by BM25.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Pairs; the others are negatives.")] = None,
    mini_batch: Annotated[
        int | None, typer.Option("--mini-batch", help="Texts in memory at once (GradCache); else the whole batch.")
    ] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Over the pairs.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Instead of epochs.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Else the strategy's own.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="float32, bfloat16 or float16.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of order, dropout and new weights.")] = None,
    device: o.Device = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Fine-tune a backbone into a retriever.

    Contrastive, with sentence-transformers, whose folder it writes; interrupted, the same command goes on.
    """
    from retroscope.cli.resolve import resolve_as
    from retroscope.study.training import TrainStudySettings, test_split, training_split

    chosen = resolve_as(
        TrainStudySettings,
        {
            "backbone": {"source": backbone},
            "backbone.load": o.given(
                pooling=pooling,
                max_length=max_length,
                similarity=similarity,
                query_prompt=query_prompt,
                passage_prompt=passage_prompt,
                append_eos=append_eos,
                device=device,
            ),
            "data": {"source": data, "split": training_split(data, split)},
            "dev": o.split_or_spec(dev, data),
            "test": [o.split_or_spec(name, data) for name in test or test_split(data, split)] or None,
            "reinitialise": reinitialise.split("+") if reinitialise else None,
            "training": o.given(
                strategy=strategy,
                two_towers=two_towers or None,
                hard_negatives=hard_negatives,
                batch_size=batch_size,
                mini_batch=mini_batch,
                epochs=epochs,
                steps=steps,
                learning_rate=learning_rate,
                precision=precision,
                seed=seed,
            ),
        },
        settings,
        assignments,
    )
    _train(chosen, out, as_json=as_json)


def _train(chosen: "TrainStudySettings", out: Path, *, as_json: bool) -> None:
    from retroscope.cli.terminal import emit, note, progress_bars, say
    from retroscope.study.training import describe, prepare_training, run_training
    from retroscope.training.processes import is_first

    job = prepare_training(chosen)
    note(describe(job))
    with progress_bars() as progress:
        document = run_training(job, out, progress)
    if is_first():
        for warning in document["warnings"]:
            note(f"warning: {warning}")
        of = f"step {document['chosen_step']:,} of {document['steps']:,}"
        emit(document) if as_json else say(f"retriever: {out} ({of})")
