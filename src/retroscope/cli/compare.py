"""retroscope compare BEFORE AFTER --data SPEC --out DIR."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retroscope.cli import options as o

if TYPE_CHECKING:
    from retroscope.study.settings import StudySettings


def run(
    before: Annotated[str, typer.Argument(help="The backbone: folder or hub name.", metavar="BEFORE")],
    after: Annotated[
        str, typer.Argument(help="The retriever fine-tuned from it; or query=NAME,passage=NAME.", metavar="AFTER")
    ],
    data: o.Data,
    out: o.RequiredOut,
    split: o.Split = None,
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
    neurons: Annotated[
        bool, typer.Option("--neurons/--no-neurons", help="Attribute and ablate neurons; the slowest part.")
    ] = True,
    elsewhere: Annotated[
        str | None,
        typer.Option(
            "--elsewhere",
            help="Second collection (out of domain): measure retrieval and drift there, too.",
            metavar="SPEC",
        ),
    ] = None,
    sister: Annotated[
        list[str] | None,
        typer.Option(
            "--sister",
            help="Another training of the retriever (a second seed); repeat for more. Adds intervals over trainings.",
            metavar="MODEL",
        ),
    ] = None,
    transplants: Annotated[
        bool, typer.Option("--transplants/--no-transplants", help="Put weights of one model into the other.")
    ] = True,
    interactions: o.Interactions = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Search with the frozen backbone at its best: other poolings, layers, whitening, a linear head.",
        ),
    ] = True,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    cache: o.Cache = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a finished study with other settings in --out.")
    ] = False,
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Say what fine-tuning changed: a report.

    Both models are measured the same way on the same collection and paired by query.
    """
    from retroscope.cli.resolve import resolve
    from retroscope.errors import SettingsError
    from retroscope.inputs.cache import default_cache
    from retroscope.study.folder import refuse_other

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
            "data": o.given(source=data, split=split, limit_queries=limit_queries),
            "elsewhere": o.given(source=elsewhere),
            "sisters": [o.model_values(one, load) for one in sister] if sister else None,
            "protocol": protocol,
            "retrieval.measures": o.listed(measures),
            "probing.probes": o.listed(probes),
            "probing.controls": o.listed(controls),
            "probing.passages": o.numbers(passages),
            "probing.seeds": seeds,
            "transplants.interactions": interactions,
        },
        settings,
        assignments,
    )
    if interactions and not transplants:
        raise SettingsError(f"--interactions {interactions} needs the transplants", fix="leave --no-transplants out")
    chosen = _without(chosen, neurons=neurons, transplants=transplants, baselines=baselines)
    if not (overwrite or dry_run):
        refuse_other(out, chosen)
    _compare(chosen, out, cache or default_cache(), dry_run=dry_run, as_json=as_json)


def _without(chosen: "StudySettings", *, neurons: bool, transplants: bool, baselines: bool) -> "StudySettings":
    """The settings less the parts that were not asked for."""
    if not neurons:
        chosen = replace(chosen, neurons=None, ablation=None)
    if not transplants:
        chosen = replace(chosen, transplants=None)
    return chosen if baselines else replace(chosen, baselines=None)


def _compare(chosen: "StudySettings", out: Path, cache: Path, *, dry_run: bool, as_json: bool) -> None:
    from retroscope.analyses.representations.elsewhere import refuse_same_texts
    from retroscope.cli.terminal import claimed, emit, note, progress_bars, say
    from retroscope.files import refuse_foreign
    from retroscope.inputs.load import check_ids, collection_of, pair_of, retriever_of
    from retroscope.inputs.pairing import check_pair
    from retroscope.study.compare import compare
    from retroscope.study.console import summary as in_words
    from retroscope.study.plan import describe, plan_run, training_roles
    from retroscope.study.summary import write_summary

    collection = collection_of(chosen.data)
    before, after = pair_of(chosen.before, chosen.after)
    check_pair(before, after)
    check_ids(collection)
    elsewhere = collection_of(chosen.elsewhere) if chosen.elsewhere else None
    if elsewhere is not None:
        refuse_same_texts(collection, elsewhere)
    sisters = tuple(retriever_of(one, "sister") for one in chosen.sisters)
    roles = {"before": before, "after": after, **training_roles(sisters)}
    plan = plan_run(roles, collection, chosen, cache, neurons=True)
    if dry_run:
        emit(plan) if as_json else say(describe(plan))
        return
    note(describe(plan))
    with claimed(out, cache), progress_bars() as progress:
        for made in ("tables", "figures", "neurons", "query-neurons", "moved", "elsewhere"):
            refuse_foreign(out / made)
        study = compare(
            before, after, collection, chosen, elsewhere=elsewhere, sisters=sisters, cache=cache, progress=progress
        )
    note("statistics, tables and figures ...")
    page = study.report(out)
    document = write_summary(study, out)
    emit(document) if as_json else say(in_words(study.findings()))
    note(f"report: {page}")
