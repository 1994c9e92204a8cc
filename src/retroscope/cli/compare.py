"""retroscope compare BEFORE AFTER --data SPEC --out DIR."""

from typing import Annotated

import typer

from retroscope.cli import options as o


def run(
    before: Annotated[str, typer.Argument(help="The backbone: folder or hub name.", metavar="BEFORE")],
    after: Annotated[str, typer.Argument(help="The retriever fine-tuned from it; or query=NAME,passage=NAME.")],
    data: o.Data,
    out: o.RequiredOut,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    protocol: o.Protocol = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    measures: o.Measures = None,
    probes: o.Probes = None,
    controls: o.Controls = None,
    passages: o.Passages = None,
    seeds: o.Seeds = None,
    limit_queries: o.Limit = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """What did fine-tuning change? Measures both models the same way, pairs them by query, writes a report."""
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import emit, note, progress_bars, say
    from retroscope.reporting.console import console_summary
    from retroscope.study.cache import default_cache
    from retroscope.study.compare import compare
    from retroscope.study.load import collection_of, retriever_of
    from retroscope.study.plan import describe, plan_run
    from retroscope.study.summary import write_summary

    load = o.given(
        pooling=pooling,
        max_length=max_length,
        similarity=similarity,
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        device=device,
    )
    chosen = resolve(
        {
            "before": o.model_values(before, load),
            "after": o.model_values(after, load),
            "data": o.given(source=data, limit_queries=limit_queries),
            "protocol": protocol,
            "retrieval.measures": o.listed(measures),
            "probing.probes": o.listed(probes),
            "probing.controls": o.listed(controls),
            "probing.passages": o.numbers(passages),
            "probing.seeds": seeds,
        },
        settings,
        assignments,
    )
    home = cache or default_cache()
    collection = collection_of(chosen.data)
    pair = retriever_of(chosen.before), retriever_of(chosen.after)
    plan = plan_run(dict(zip(("before", "after"), pair, strict=True)), collection, chosen, home)
    if dry_run:
        emit(plan) if as_json else note(describe(plan))
        return
    note(describe(plan))
    with progress_bars() as progress:
        study = compare(*pair, collection, chosen, cache=home, progress=progress)
    page = study.report(out)
    summary = write_summary(study, out)
    emit(summary) if as_json else say(console_summary(study.findings()))
    note(f"report: {page}")
