"""retroscope probe MODEL --data SPEC."""

from retroscope.cli import options as o


def run(
    model: o.Model,
    data: o.Data,
    out: o.Out = None,
    split: o.Split = None,
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
    """Say whether relevance is readable at each layer.

    By the probes that the protocol names, or those you name, with their controls and intervals.
    """
    from retroscope.cli.resolve import resolve
    from retroscope.cli.single import run_single
    from retroscope.cli.text import probe_text
    from retroscope.study.single import run_probes

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
            "data": o.given(source=data, split=split, limit_queries=limit_queries),
            "protocol": protocol,
            "probing.probes": o.listed(probes),
            "probing.controls": o.listed(controls),
            "probing.passages": o.numbers(passages),
            "probing.seeds": seeds,
        },
        settings,
        assignments,
        unless_said={"retrieval.layers": False},
    )
    run_single(run_probes, probe_text, chosen, out, cache, dry_run=dry_run, as_json=as_json)
