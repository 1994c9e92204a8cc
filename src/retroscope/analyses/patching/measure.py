"""Patch activations for clean queries into forward passes of corrupted ones, from the same and from the other model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.margins import chosen_margins, margin_passages
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.patching.settings import PatchingSettings
from retroscope.attribution.examples import Example, collection_examples
from retroscope.attribution.heads.cells import HeadCells, cell_origin, head_cells
from retroscope.attribution.heads.sites import find_heads
from retroscope.attribution.patching.alignment import align_texts
from retroscope.attribution.patching.components import find_components
from retroscope.attribution.patching.corruption import COUNTED, Corruption, corruptions, word_counts
from retroscope.attribution.patching.donors import OTHER_DONORS, OWN_DONORS
from retroscope.attribution.patching.recovery import PatchingRun
from retroscope.collection.collection import Collection
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.inputs.pairing import same_tokens
from retroscope.number_format import count, estimate
from retroscope.progress import Stages
from retroscope.scores import QUERY, Scores

TRIED = 32  # candidates for a corrupted query that are tried until one fits
SIDES = ("clean", "corrupted")
TRACED_PASSES = 2  # of a donor and of the corrupted query, for every kind of patch


def refusal(context: Context, settings: PatchingSettings) -> str:
    """Return the reason why activations of one model cannot be patched into the other, or "" if they can."""
    encoders = [retriever.query for retriever in context.models.values()]
    shapes = {_shape(encoder) for encoder in encoders}
    if len(shapes) > 1:
        return "the two models differ in their blocks, heads or dimensions, so activations cannot be exchanged"
    if len(encoders) > 1 and not same_tokens(*encoders):
        return "the two models split the same query into different tokens, so their activations cannot be aligned"
    return ""


def _shape(encoder: Encoder) -> tuple[int, int, int, int]:
    sites = find_heads(encoder)
    return len(sites.paths), sites.heads, sites.width, encoder.width


def plan(context: Context, settings: PatchingSettings) -> Planned:
    """Plan activation patching: count the forward passes with patches, and estimate their seconds."""
    judged = len(context.collection.judged_queries)
    queries = min(settings.limit or judged, judged)
    donors = len(OWN_DONORS) + (len(OTHER_DONORS) if context.is_pair else 0)
    lines, sizes = ["activation patching of the query tower"], {}
    for side, retriever in context.models.items():
        components = len(find_components(retriever.query, settings.components))
        kinds = len(settings.corruptions) * len(settings.tokens) * donors
        passes = kinds * (components + TRACED_PASSES) * queries
        seconds = passes * context.seconds_each(retriever, "query")
        sizes[side] = {"components": components, "passes": passes, "seconds": round(seconds, 3)}
        lines.append(
            f"  {side}: {count(components, 'component')}, {count(passes, 'patched query')}; about {estimate(seconds)}"
        )
    return Planned(tuple(lines), sum(size["seconds"] for size in sizes.values()), {"patching": sizes})


def measure(context: Context, settings: PatchingSettings, planned: Planned) -> Measurement:
    """Return how much margin each corruption of a query costs, and how much of it each patched activation recovers.

    SIDE is the role of the receiving model, e.g. "before". The scores "SIDE/total" (query, corruption) are the clean
    margin minus the corrupted margin. "SIDE/recovered" (query, corruption, tokens, donor, component) is the patched
    margin minus the corrupted margin; `attribution.patching.donors` lists the donors. The frame "corruptions" has the
    clean and the corrupted queries.
    """
    examples = _examples(context, settings)
    first = next(iter(context.models.values())).query
    texts = _corrupted(context.collection, first, [example.id for example in next(iter(examples.values()))], settings)
    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    for side, retriever in context.models.items():
        stages = context.stages(retriever.name)
        other = next((retriever.query for name, retriever in context.models.items() if name != side), None)
        work = _Side(context, settings, retriever, other, examples[side], stages)
        total, recovered = work.measured(texts)
        scores[f"{side}/total"] = _scores(work, "total effect of the corruption", total)
        scores[f"{side}/recovered"] = _scores(work, "recovered margin", recovered)
        stages.ended("patching")
        seconds |= {f"{side}: {stage}": duration for stage, duration in stages.seconds.items()}
    corrupted = {kind: len(some) for kind, some in texts.items()}
    facts = {"queries": len(next(iter(examples.values()))), "corrupted": corrupted}
    return Measurement(scores, {"corruptions": _frame(texts)}, {}, facts, tuple(_caveats(facts, settings)), seconds)


def _examples(context: Context, settings: PatchingSettings) -> dict[str, list[Example]]:
    """Return role of the model -> one example for each query. Both models of a pair use the same negatives."""
    attribution, candidates = chosen_margins(
        context, negatives=settings.negatives, limit=settings.limit, seed=settings.seed
    )
    return {
        side: collection_examples(retriever, context.collection, candidates, attribution)
        for side, retriever in context.models.items()
    }


def _corrupted(
    collection: Collection, encoder: Encoder, ids: Sequence[str], settings: PatchingSettings
) -> dict[str, list[Corruption]]:
    """Map each kind of corruption to corrupted queries. A swapped word has as many tokens as the word it replaces."""
    passages = (collection.passage_text(p) for p in islice(collection.passages, COUNTED))
    counts = word_counts([*(query.text for query in collection.queries.values()), *passages])
    queries = {i: collection.queries[i].text for i in ids}
    by_kind: dict[str, list[Corruption]] = {}
    for kind in settings.corruptions:
        some = by_kind[kind] = []
        for i, candidates in corruptions(queries, counts, kind, settings.seed):
            fitting = _fitting(encoder, queries[i], candidates[:TRIED], in_place=kind == "swapped")
            if fitting is not None:
                some.append(Corruption(i, kind, queries[i], fitting))
    return by_kind


def _fitting(encoder: Encoder, clean: str, candidates: Sequence[str], *, in_place: bool) -> str | None:
    """Return the first candidate whose tokens differ from those of the clean text, or None if there is none.

    Args:
        in_place: the candidate must also have as many tokens as the clean text where they differ.
    """
    own = tokenise(encoder, [clean])[0]
    for text in candidates:
        aligned = align_texts(own, tokenise(encoder, [text])[0])
        if aligned.clean != aligned.corrupted and (aligned.in_place or not in_place):
            return text
    return None


@dataclass(frozen=True, eq=False)
class _Side:
    """A model that receives patched activations, with its examples."""

    context: Context
    settings: PatchingSettings
    retriever: Retriever
    other: Encoder | None
    examples: Sequence[Example]
    stages: Stages

    def measured(self, texts: Mapping[str, Sequence[Corruption]]) -> tuple[xr.DataArray, xr.DataArray]:
        """Return the loss of margin by each corruption and the margin that each patch recovers; NaN if not measured."""
        components = find_components(self.retriever.query, self.settings.components)
        donors = [*OWN_DONORS, *(OTHER_DONORS if self.other is not None else ())]
        coords: dict[str, list[str]] = {
            QUERY: [example.id for example in self.examples], "corruption": list(texts),
            "tokens": list(self.settings.tokens), "donor": donors, "component": [c.name for c in components],
        }  # fmt: skip
        recovered = xr.DataArray(np.full([len(v) for v in coords.values()], np.nan), coords, tuple(coords))
        total = recovered.isel(tokens=0, donor=0, component=0, drop=True).copy()
        show = self.stages.inside("patching")
        steps = [(kind, tokens, donor) for kind in texts for tokens in self.settings.tokens for donor in donors]
        for done, (kind, tokens, donor) in enumerate(steps, start=1):
            if texts[kind]:
                ids = [corruption.query for corruption in texts[kind]]
                run = self._run(texts[kind])
                cells = self._cells(run)
                total.loc[ids, kind] = cells.of("total", run.total)
                recovered.loc[ids, kind, tokens, donor] = cells.of(
                    f"{tokens}-{donor}", partial(run.recovered, tokens, donor)
                )
            if show:
                show(done, len(steps))
        return total, recovered

    def _run(self, some: Sequence[Corruption]) -> PatchingRun:
        against = {example.id: example.others[0] for example in self.examples}
        clean, corrupted = (
            tokenise(self.retriever.query, [getattr(corruption, side) for corruption in some]) for side in SIDES
        )
        return PatchingRun(
            self.retriever.query,
            self.other,
            [align_texts(*both) for both in zip(clean, corrupted, strict=True)],
            torch.stack([against[corruption.query] for corruption in some]).float(),
            self.retriever.similarity == "cosine",
            find_components(self.retriever.query, self.settings.components),
            self.settings.seed,
        )

    def _cells(self, run: PatchingRun) -> HeadCells:
        encoders = [self.retriever.query, *([self.other] if self.other is not None else [])]
        made_of = [[encoder.fingerprint for encoder in encoders], run.cosine, run.seed,
                   [component.name for component in run.components],
                   [[text.clean, text.corrupted] for text in run.texts], run.against.tolist()]  # fmt: skip
        names = tuple(encoder.name for encoder in encoders)
        return head_cells(self.context.cache, made_of, cell_origin(names, self.context.collection.name, "patching"))


def _scores(work: _Side, name: str, values: xr.DataArray) -> Scores:
    scores = Scores(name, values, passages=margin_passages(work.examples))
    return scores.with_texts(work.context.collection.query_texts)


def _frame(texts: Mapping[str, Sequence[Corruption]]) -> pd.DataFrame:
    rows = [vars(corruption) for some in texts.values() for corruption in some]
    return pd.DataFrame(rows, columns=["query", "kind", "clean", "corrupted"])


def _caveats(facts: Mapping[str, Any], settings: PatchingSettings) -> Iterator[str]:
    for kind in settings.corruptions:
        corrupted = facts["corrupted"][kind]
        if corrupted < facts["queries"]:
            yield f"patching: only {corrupted} of {facts['queries']} queries allow the corruption {kind!r}"


INSTRUMENT = Instrument(refusal, plan, measure)
