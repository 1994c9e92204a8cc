"""retroscope probe MODEL --data SPEC."""

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
    """Is relevance readable at each layer? The probe family, its controls, with intervals."""
    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import emit, note, progress_bars, say
    from retroscope.cli.text import probe_text
    from retroscope.study.cache import default_cache
    from retroscope.study.load import collection_of, retriever_of
    from retroscope.study.plan import describe, plan_run
    from retroscope.study.single import run_probes, save_single

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
            "probing.probes": o.listed(probes),
            "probing.controls": o.listed(controls),
            "probing.passages": o.numbers(passages),
            "probing.seeds": seeds,
            "retrieval.layers": False,
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
        measured, document = run_probes(retriever, collection, chosen, home, progress)
    if out:
        save_single(measured, out)
    if as_json:
        emit(document)
    else:
        say(probe_text(document))
