"""retroscope transplant BEFORE AFTER --data SPEC."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli import options as o

if TYPE_CHECKING:
    from retroscope.analyses.transplants.measure import TransplantSettings

DOCUMENT = "transplants.json"


def run(
    before: Annotated[str, typer.Argument(help="The backbone: folder, hub name or GGUF file.", metavar="BEFORE")],
    after: Annotated[str, typer.Argument(help="The retriever fine-tuned from it.", metavar="AFTER")],
    data: o.Data,
    out: o.Out = None,
    split: o.Split = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    transplants: Annotated[
        str | None,
        typer.Option("--transplants", help="Comma-separated: block:K, top:K, bottom:K, attention ...; else all."),
    ] = None,
    groups: Annotated[
        int | None, typer.Option("--groups", help="Groups of neighbouring blocks, at most (12); 0: every block.")
    ] = None,
    measures: o.Measures = None,
    limit_queries: o.Limit = None,
    passages: Annotated[int | None, typer.Option("--passages", help="Size of the sample; 0: all passages.")] = None,
    interactions: o.Interactions = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Say which parts of what fine-tuning changed retrieval needs.

    Weights of one model are put into the other, by block, part and share; nothing is trained.
    """
    from retroscope.analyses.transplants.measure import TransplantSettings
    from retroscope.cli.resolve import resolve_as

    load = o.given(
        pooling=pooling,
        max_length=max_length,
        similarity=similarity,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        device=device,
    )
    given = {
        "before": o.model_values(before, load),
        "after": o.model_values(after, load),
        "data": o.given(source=data, split=split, limit_queries=limit_queries),
        "sweep.transplants": o.listed(transplants),
        "sweep.groups": groups,
        "sweep.measures": o.listed(measures),
        "sweep.passages": passages,
        "sweep.interactions": interactions,
    }
    chosen = resolve_as(TransplantSettings, given, settings, assignments)
    _transplant(chosen, out, cache, dry_run=dry_run, as_json=as_json)


def _transplant(
    chosen: "TransplantSettings", out: Path | None, cache: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    from retroscope.analyses.transplants.measure import check_transplants, transplant, transplant_document
    from retroscope.analyses.transplants.report import write_transplant_report
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.documents import as_json as in_json
    from retroscope.documents import write_text
    from retroscope.files import refuse_foreign, refuse_other_report
    from retroscope.inputs.cache import default_cache
    from retroscope.inputs.load import collection_of, pair_of
    from retroscope.study.console import transplant_summary
    from retroscope.study.plan import describe_sweep, plan_sweep

    if out is not None and not dry_run:
        refuse_other_report(out, DOCUMENT)
        for made in ("tables", "figures"):
            refuse_foreign(out / made)
    collection = collection_of(chosen.data)
    pair = pair_of(chosen.before, chosen.after)
    check_transplants(*pair)
    planned = plan_sweep(*pair, collection, chosen, cache or default_cache())
    if dry_run:
        emit(planned) if as_json else say(describe_sweep(planned))
        return
    note(describe_sweep(planned))
    with claimed(*([out] if out else [])), progress_bars() as progress:
        found = transplant(*pair, collection, chosen, progress, cache=cache)
    document = transplant_document(found)
    if out is not None:
        write_text(out / DOCUMENT, in_json(document))
        note(f"report: {write_transplant_report(found, out)}")
    emit(document) if as_json else say(transplant_summary(found))
