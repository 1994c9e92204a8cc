"""retroscope retrieve MODEL --data SPEC."""

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
    measures: o.Measures = None,
    layers: o.Layers = False,
    limit_queries: o.Limit = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Say how well it finds the right passages.

    Exact search, measures with intervals, and with --out a TREC run file.
    """
    from retroscope.cli.resolve import resolve
    from retroscope.cli.single import run_single
    from retroscope.cli.text import retrieval_text
    from retroscope.study.single import run_retrieval

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
            "retrieval.measures": o.listed(measures),
            "retrieval.layers": layers or None,
            "probing.controls": ["none"],  # nothing is probed, so no twin is planned
        },
        settings,
        assignments,
        unless_said={"retrieval.layers": False},
    )
    run_single(run_retrieval, retrieval_text, chosen, out, cache, dry_run=dry_run, as_json=as_json)
