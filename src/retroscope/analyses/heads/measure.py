"""Measure how the margin and retrieval change when attention heads are fixed at their means, in one or two models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.heads.attended import attended
from retroscope.analyses.heads.halves import FEWEST_GROUPS, choosing_half, sharing_groups
from retroscope.analyses.heads.plan import plan_heads
from retroscope.analyses.heads.searches import HeadSearches, head_searches
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.analyses.margins import chosen_margins, margin_passages
from retroscope.analyses.measurement import Measurement
from retroscope.attribution.examples import Example, collection_examples
from retroscope.attribution.heads.cells import FOLDER, FORMAT, HeadCells, cell_origin, head_cells
from retroscope.attribution.heads.choice import HeadChoice, choose_heads
from retroscope.attribution.heads.first_order import first_order
from retroscope.attribution.heads.margins import MarginTexts, check_alike, margin_texts
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.pooling import JOIN, ONE_TOKEN
from retroscope.errors import EncoderError
from retroscope.files.cache_records import EntryKind, damaged_windows
from retroscope.files.documents import fingerprint
from retroscope.progress import Stages
from retroscope.scores import QUERY, Scores

FEWEST_TESTED = 25  # queries: with fewer, an effect must be large to show


def refusal(context: Context, settings: HeadSettings) -> str:
    """Return the reason why attention heads cannot be measured, or "" if there is none.

    Heads are fixed in both encoders only if these are alike, and the queries must split into two independent halves.
    """
    try:
        for retriever in context.models.values() if len(settings.towers) > 1 else ():
            check_alike(retriever)
    except EncoderError as error:
        return error.what
    groups = len({*sharing_groups(context.collection, context.collection.judged_queries)})
    if groups < FEWEST_GROUPS:
        return (
            f"the queries form {groups} groups that share no text and no relevant passage, but at least "
            f"{FEWEST_GROUPS} are needed to choose heads on one half of the queries and to test them on the other half"
        )
    return ""


def plan(context: Context, settings: HeadSettings) -> Planned:
    """Plan the ablation of attention heads: count the heads, and estimate the seconds."""
    return plan_heads(context, settings)


@dataclass(frozen=True, eq=False)
class _Side:
    """One model of the analysis, with its examples (a query, its relevant passage and a hard negative) and their texts.

    Attributes:
        examples: tower -> one example for each query.
        texts: texts of all examples.
        cells: cache of the arrays that were computed for this model.
        stages: durations of the stages.
    """

    retriever: Retriever
    examples: Mapping[str, Sequence[Example]]
    texts: MarginTexts
    cells: HeadCells
    stages: Stages


def measure(context: Context, settings: HeadSettings, planned: Planned) -> Measurement:
    """Return every query's change of the margin and its retrieval scores when attention heads are fixed at their means.

    SIDE is the role of a model, e.g. "before". Its scores are "SIDE/margin" (query), "SIDE/estimates" to first order
    (query, layer, head), "SIDE/exact" (query, head) for the ablated heads and the queries that test them,
    "SIDE/retrieval" (query, set, measure), and "SIDE/attention" (query, tower, attending, head, kind). The frame
    "SIDE/attention" has the means of all heads.
    """
    sides = dict(_sides(context, settings))
    margins = {side: model.cells.of("margins", model.texts.margins) for side, model in sides.items()}
    estimates = {side: _estimates(model) for side, model in sides.items()}
    ids = next(iter(sides.values())).texts.ids
    choosing = choosing_half(context.collection, ids)
    tested = ~choosing
    means = {side: values[choosing].mean(0) for side, values in estimates.items()}
    choice = choose_heads(
        means, top=settings.top, sample=settings.sample, controls=settings.controls, seed=settings.seed
    )
    scores: dict[str, Scores] = {}
    facts: dict[str, Any] = _facts(settings, choice, sides)
    frames: dict[str, pd.DataFrame] = {}
    seconds: dict[str, float] = {}
    search = _search(context, settings, [i for i, used in zip(ids, choosing, strict=True) if used], sides)
    for side, model in sides.items():
        scores |= _margin_scores(context, side, model, (margins[side], estimates[side]))
        scores[f"{side}/exact"] = _exact(context, model, choice, margins[side], tested)
        model.stages.ended("heads: exact")
        scores[f"{side}/retrieval"] = search.measured(model.retriever, model.texts.means, choice.top[side])
        model.stages.ended("heads: retrieval")
        if settings.attention:
            attention = attended(model.texts, choice.every, settings.subjects)
            scores[f"{side}/attention"] = _of(context, "attention", attention.by_query, context.collection.relevant)
            frames[f"{side}/attention"] = attention.means
            facts["eager"][side] = {"gap": attention.gap, "limit": attention.limit}
            model.stages.ended("heads: attention")
        seconds |= {f"{side}: {stage}": duration for stage, duration in model.stages.seconds.items()}
    facts |= search.facts()
    return Measurement(scores, frames, {}, facts, tuple(_caveats(context, settings, facts, int(tested.sum()))), seconds)


def _sides(context: Context, settings: HeadSettings) -> Iterator[tuple[str, _Side]]:
    """Yield every model with its examples; both models of a pair use the same negatives."""
    attribution, candidates = chosen_margins(
        context, negatives=settings.negatives, limit=settings.limit, seed=settings.seed
    )
    for side, retriever in context.models.items():
        stages = context.stages(retriever.name)
        examples = {
            tower: collection_examples(retriever, context.collection, candidates, replace(attribution, tower=tower))
            for tower in ("query", "passage")
        }
        texts = margin_texts(retriever, context.collection, examples["query"], settings.towers)
        rows = {tower: list(some) for tower, some in texts.rows.items()}
        made_of = [retriever.query.fingerprint, retriever.passage.fingerprint, retriever.similarity, texts.ids, rows,
                   settings.towers]  # fmt: skip
        origin = cell_origin((retriever.name,), context.collection.name, "heads")
        yield side, _Side(retriever, examples, texts, head_cells(context.cache, made_of, origin), stages)


def _estimates(side: _Side) -> np.ndarray:
    """Estimate to first order how fixing each head changes the margins, (query, layer, head), summed over towers."""

    def made() -> np.ndarray:
        cosine = side.retriever.similarity == "cosine"
        towers = side.texts.towers
        of_towers = [
            first_order(side.retriever.tower(t), side.examples[t], side.texts.means[t], cosine=cosine) for t in towers
        ]
        return np.asarray(sum(of_towers[1:], start=of_towers[0]))

    estimates = side.cells.of("first-order", made)
    side.stages.ended("heads: first order")
    return estimates


def _exact(context: Context, side: _Side, choice: HeadChoice, margins: np.ndarray, tested: np.ndarray) -> Scores:
    """Measure how fixing each chosen head alone changes the margins of the tested queries, (query, head)."""
    number = {i: place for place, i in enumerate(side.texts.ids)}
    keep = [i for i, used in zip(side.texts.ids, tested, strict=True) if used]
    examples = [example for example in side.examples["query"] if example.id in {*keep}]
    texts = margin_texts(side.retriever, context.collection, examples, side.texts.towers)
    show = side.stages.inside("heads: exact")
    columns, of_tested = [], fingerprint(keep)[:8]  # in a cell's name: its queries
    for done, head in enumerate(choice.every, start=1):
        changed = side.cells.of(f"exact-{head}-{of_tested}", partial(texts.margins, [head], side.texts.means))
        columns.append(changed - margins[[number[i] for i in keep]])
        if show:
            show(done, len(choice.every))
    values = xr.DataArray(
        np.stack(columns, axis=1), {QUERY: keep, "head": [str(h) for h in choice.every]}, (QUERY, "head")
    )
    return _of(context, "exact head ablation", values, margin_passages(examples))


def _margin_scores(context: Context, side: str, one: _Side, values: tuple[np.ndarray, np.ndarray]) -> dict[str, Scores]:
    margins, estimates = values
    ids, (_, layers, heads) = list(one.texts.ids), estimates.shape
    coords = {QUERY: ids, "layer": list(range(1, layers + 1)), "head": list(range(heads))}
    by_query = xr.DataArray(margins, {QUERY: ids}, (QUERY,))
    by_head = xr.DataArray(estimates, coords, tuple(coords))
    passages = margin_passages(one.examples["query"])
    return {
        f"{side}/margin": _of(context, "margin", by_query, passages),
        f"{side}/estimates": _of(context, "head ablation, first order", by_head, passages),
    }


def _of(context: Context, name: str, values: xr.DataArray, passages: Mapping[str, tuple[str, ...]]) -> Scores:
    """Return scores with the texts of their queries, and with the passages that affect them."""
    of_queries = {i: passages[i] for i in values.coords[QUERY].values.tolist()}
    return Scores(name, values, passages=of_queries).with_texts(context.collection.query_texts)


def _search(
    context: Context, settings: HeadSettings, choosing: Sequence[str], sides: Mapping[str, _Side]
) -> HeadSearches:
    examples = [example for side in sides.values() for example in side.examples["query"]]
    chose = {*choosing}
    return head_searches(context, settings, choosing, [example.negative for example in examples if example.id in chose])


def _facts(settings: HeadSettings, choice: HeadChoice, sides: Mapping[str, _Side]) -> dict[str, Any]:
    first = next(iter(sides.values()))
    return {
        "towers": list(settings.towers),
        "queries": len(first.texts.ids),
        "top": {side: [str(head) for head in heads] for side, heads in choice.top.items()},
        "sample": [str(head) for head in choice.sample],
        "controls": {str(layer): [str(head) for head in heads] for layer, heads in choice.controls.items()},
        "eager": {},
        "subjects": bool(settings.subjects),
    }


def _caveats(context: Context, settings: HeadSettings, facts: Mapping[str, Any], tested: int) -> Iterator[str]:
    yield (
        f"heads: {facts['queries']} queries were drawn; {facts['queries'] - tested} chose the top heads and {tested} "
        "tested them; these two halves share no text and no relevant passage"
    )
    if tested < FEWEST_TESTED:
        yield f"heads: only {tested} queries test the heads, so an effect must be large to be significant"
    for retriever in context.models.values():
        if len(settings.towers) > 1 and retriever.query.fingerprint != retriever.passage.fingerprint:
            yield f"heads: the towers of {retriever.name} differ; a head is fixed in both of them"
        for pooling in sorted({retriever.tower(tower).recipe.pooling for tower in settings.towers}):
            if set(pooling.split(JOIN)) <= ONE_TOKEN:
                yield (
                    f"heads: {retriever.name} pools one token ({pooling}), but a head is fixed at its mean over all "
                    "tokens. So its effect includes the constant part of its output at the pooled token"
                )
    yield from (f"heads: {note}" for note in facts["notes"])


KEPT = EntryKind("heads", f"{FOLDER}/*", FORMAT, True, damaged_windows)
INSTRUMENT = Instrument(refusal, plan, measure, keeps=(KEPT,))
