"""retroscope neurons MODEL --data SPEC | --texts FILE --out DIR."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli import options as o
from retroscope.errors import SettingsError

if TYPE_CHECKING:
    from retroscope.study.settings import StudySettings


def run(
    model: o.Model,
    out: o.RequiredOut,
    data: Annotated[
        str | None, typer.Option("--data", help="Collection: a path or FORMAT:PATH, e.g. beir:data/nq.", metavar="SPEC")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="One text a line, UTF-8, instead of --data.", metavar="FILE")
    ] = None,
    split: o.Split = None,
    pooling: o.Pooling = None,
    max_length: o.MaxLength = None,
    protocol: o.Protocol = None,
    similarity: o.Similarity = None,
    query_prompt: o.QueryPrompt = None,
    passage_prompt: o.PassagePrompt = None,
    device: o.Device = None,
    tower: Annotated[str | None, typer.Option("--tower", help="query or passage: whose network is scaled.")] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="norm, score or margin: the scalar that is attributed.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="weight_path, joint_path, conductance or activation_x_gradient.")
    ] = None,
    quadrature: Annotated[
        str | None,
        typer.Option("--quadrature", help="ielab-20, trapezoid:N, midpoint:N, gauss:N or auto:TOLERANCE[:MOST]."),
    ] = None,
    parts: Annotated[
        str | None, typer.Option("--parts", help="intermediate, output and (gated FFNs) up, comma-separated.")
    ] = None,
    thresholds: Annotated[
        str | None, typer.Option("--thresholds", help="Shares of a text's largest value that count, comma-separated.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Texts a batch, in order and padded; part of the published mean's result."),
    ] = None,
    units: Annotated[
        int | None,
        typer.Option("--units", help="At most so many queries, drawn from the seed (of --texts the first); 0 for all."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="What may be used, e.g. 4GiB; else a quarter of what is free.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32, tf32, bfloat16 or float16; the effect is measured.")
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate/--no-ablate", help="Show by ablation whether the neurons matter.")
    ] = True,
    fractions: Annotated[
        str | None, typer.Option("--fractions", help="Shares of the neurons to ablate, comma-separated, rising.")
    ] = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Say which neurons carry it, and show by ablation that they do.

    Attribution of every neuron of the feed-forward networks, with its error.

    Writes a report, figures, tables and the aggregates of every neuron.
    """
    from retroscope.cli.resolve import resolve

    if (data is None) == (texts is None):
        raise SettingsError("give either --data or --texts", fix="--data for queries and passages, --texts for a file")
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
            "data": o.given(source=data, split=split),
            "protocol": protocol,
            "neurons.tower": tower,
            "neurons.target": target,
            "neurons.method": method,
            "neurons.quadrature": quadrature,
            "neurons.parts": o.listed(parts),
            "neurons.thresholds": o.fractions(thresholds),
            "neurons.batch_size": batch_size,
            "neurons.limit": units,
            "neurons.memory": o.in_bytes(memory),
            "neurons.precision": precision,
            "ablation.fractions": o.fractions(fractions),
        },
        settings,
        assignments,
        unless_said={"neurons.limit": 0, "neurons.target": "norm"} if texts else {},
    )
    if not ablate:
        chosen = replace(chosen, ablation=None)
    _neurons(chosen, texts, out, cache, dry_run=dry_run, as_json=as_json)


def _neurons(
    chosen: "StudySettings", texts: Path | None, out: Path, cache: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    from retroscope.analyses.neurons.attribute import describe_neurons, plan_document
    from retroscope.analyses.neurons.one_model import prepare, run_neurons, save_run
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.files import refuse_foreign
    from retroscope.inputs.cache import default_cache
    from retroscope.study.console import neuron_summary

    home = cache or default_cache()
    job = prepare(chosen, texts)
    if dry_run:
        emit(plan_document(job.plan)) if as_json else say(describe_neurons(job.plan))
        return
    note(describe_neurons(job.plan))
    with claimed(home, out), progress_bars() as progress:
        for made in ("tables", "figures", "neurons"):
            refuse_foreign(out / made)
        found = run_neurons(job, home, progress)
    page = save_run(found, out)
    emit(found.document) if as_json else say(neuron_summary(found.report))
    note(f"report: {page}")
