"""retroscope retrieve MODEL --data SPEC."""

from retroscope.cli import options as o


def run(
    model: o.Model,
    data: o.Data,
    out: o.Out = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    protocol: o.Protocol = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    measures: o.Measures = None,
    layers: o.Layers = False,
    limit_queries: o.Limit = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Does it find the right passages? Exact search, measures with intervals, a TREC run file."""
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import emit, note, progress_bars, say
    from retroscope.cli.text import retrieval_text
    from retroscope.study.cache import default_cache
    from retroscope.study.load import collection_of, retriever_of
    from retroscope.study.plan import describe, plan_run
    from retroscope.study.single import run_retrieval, save_single

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
            "after": o.model_values(model, load),
            "data": o.given(source=data, limit_queries=limit_queries),
            "protocol": protocol,
            "retrieval.measures": o.listed(measures),
            "retrieval.layers": layers,
            "probing.controls": ["none"],
        },
        settings,
        assignments,
    )
    home = cache or default_cache()
    collection, retriever = collection_of(chosen.data), retriever_of(chosen.after)
    plan = plan_run({"model": retriever}, collection, chosen, home)
    if dry_run:
        emit(plan) if as_json else note(describe(plan))
        return
    note(describe(plan))
    with progress_bars() as progress:
        measured, document = run_retrieval(retriever, collection, chosen, home, progress)
    if out:
        save_single(measured, out)
    if as_json:
        emit(document)
    else:
        say(retrieval_text(document))
