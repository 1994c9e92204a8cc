"""retroscope embed MODEL --texts FILE --out DIR."""

from pathlib import Path
from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    model: o.Model,
    texts: Annotated[Path, typer.Option("--texts", help="One text a line, UTF-8.", metavar="FILE")],
    out: o.RequiredOut,
    tower: Annotated[str, typer.Option("--tower", help="query or passage: which prompt and weights.")] = "passage",
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    protocol: o.Protocol = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Write the vectors of every layer of every text.

    They are pooled, and go into a zarr group whose `vectors` has the dimensions (text, layer, dim).
    """
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.study.embed import describe, embed, plan_embedding, read_lines

    load = o.given(
        pooling=pooling,
        max_length=max_length,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        device=device,
    )
    chosen = resolve({"after": o.model_values(model, load), "protocol": protocol}, settings, assignments)
    planned = plan_embedding(chosen, read_lines(texts), tower)
    if dry_run:
        emit(planned.document(out)) if as_json else say(describe(planned, out))
        return
    note(describe(planned, out))
    with claimed(out.parent), progress_bars() as progress:
        document = embed(planned, out, progress)
    emit(document) if as_json else say(f"vectors of {len(planned.texts):,} texts: {out}")
