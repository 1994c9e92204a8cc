"""retroscope doctor MODEL [MODEL]."""

from typing import Annotated

import typer

from retroscope.cli import options as o
from retroscope.cli.exit_codes import UNSOUND


def run(
    model: Annotated[str, typer.Argument(help="A retriever; or the backbone, with its retriever after it.")],
    after: Annotated[
        str | None, typer.Argument(help="The retriever fine-tuned from it: the two are then a pair.", metavar="AFTER")
    ] = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Say whether a model is what it seems.

    Or whether two are a pair. Seconds, and no data. Status 1 if anything is an error.
    """
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import emit, say
    from retroscope.study.doctor import diagnose, doctor_document, doctor_words

    load = o.given(
        pooling=pooling,
        max_length=max_length,
        similarity=similarity,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        device=device,
    )
    pair = {"after": o.model_values(model, load)}
    if after is not None:
        pair = {"before": o.model_values(model, load), "after": o.model_values(after, load)}
    chosen = resolve(pair, settings, assignments)
    named = {"before": chosen.before, "after": chosen.after} if after is not None else {"model": chosen.after}
    found = diagnose({role: wanted for role, wanted in named.items() if wanted is not None})
    emit(doctor_document(found)) if as_json else say(doctor_words(found))
    if not found.sound:
        raise typer.Exit(UNSOUND)
