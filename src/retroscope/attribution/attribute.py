"""Attribution of every neuron over many units: planned, streamed, resumable."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.aggregate import Aggregates, add, begin, load_state, save_state
from retroscope.attribution.finish import finished
from retroscope.attribution.memory import OVERHEAD, budget_of, graph_memory, out_of_memory
from retroscope.attribution.methods import METHODS
from retroscope.attribution.paths import PRECISIONS, Values, Work
from retroscope.attribution.plan import AttributionPlan, make_batches, work_of
from retroscope.attribution.quadrature import gauss
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import NeuronSettings
from retroscope.attribution.sites import find_sites
from retroscope.attribution.units import Unit
from retroscope.encoders.encode import forward, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.selftest import tolerance
from retroscope.errors import AnalysisError

Progress = Callable[[int, int], None]  # units done, units in all
# Padded tokens of the scaled network that run at once, if memory allows. On a CPU more is no faster.
ROW_TOKENS = {"cpu": 4096, "cuda": 262_144, "mps": 16_384}
SAVE_EVERY = 10.0  # seconds


def plan_attribution(
    encoder: Encoder,
    units: Sequence[Unit],
    settings: NeuronSettings,
    *,
    cosine: bool = False,
    padding_pooled: bool = False,
) -> AttributionPlan:
    """Tokenise, make batches, and measure memory and time on two of them.

    Args:
        cosine: the retriever compares by cosine.
        padding_pooled: mean pooling reads padding, as published.

    Raises:
        AnalysisError: if there is no unit.
    """
    if not units:
        raise AnalysisError("there is nothing to attribute", where=encoder.name, fix="give at least one text or query")
    flat = iter(tokenise(encoder, [text for unit in units for text in unit.texts]))
    tokens = tuple(tuple(next(flat) for _ in unit.texts) for unit in units)
    batches = tuple(map(tuple, make_batches(encoder, tokens, settings)))
    sites = find_sites(encoder, settings.parts)
    plan = AttributionPlan(
        encoder, units, settings, sites, batches, tokens, padding_pooled=padding_pooled, cosine=cosine
    )
    return _measured(plan)


def attribute_neurons(
    plan: AttributionPlan, folder: Path | None = None, progress: Progress | None = None
) -> NeuronAttribution:
    """Attribute every neuron of a plan.

    Args:
        folder: where the state of an interrupted run is kept; the same plan then goes on from its last batch and
            ends with the same numbers, to the last bit.
        progress: told (units done, units in all).

    Raises:
        AnalysisError: if the memory does not suffice for a single text.
    """
    sums = _begin(plan)
    state = None if folder is None else folder / f"neurons-{plan.key[:16]}.partial.npz"
    done, row_tokens = load_state(state, sums) if state and state.exists() else (0, plan.row_tokens)
    saved, effect = time.monotonic(), _precision_effect(plan) if plan.settings.precision != "float32" else None
    for number, batch in enumerate(plan.batches[done:], start=done + 1):
        values, row_tokens = _fitting(plan, batch, row_tokens)
        add(sums, batch, values, _noise_level(plan, work_of(plan, batch, row_tokens), values))
        if state and time.monotonic() - saved > SAVE_EVERY:
            save_state(state, sums, done=number, row_tokens=row_tokens)
            saved = time.monotonic()
        if progress:
            progress(sum(map(len, plan.batches[:number])), len(plan.units))
    made = finished(plan, sums, row_tokens, effect)
    if state:
        state.unlink(missing_ok=True)
    return made


def _begin(plan: AttributionPlan) -> Aggregates:
    widths = {site.part: site.weight(plan.encoder).shape[0] for site in plan.sites}
    return begin(plan.settings, widths, plan.encoder.anatomy.n_blocks, len(plan.units))


def _fitting(plan: AttributionPlan, batch: tuple[int, ...], row_tokens: int) -> tuple[Values, int]:
    """Attribute a batch; where memory does not suffice, with half the rows, and so on."""
    while True:
        work = work_of(plan, batch, row_tokens)
        try:
            return METHODS[plan.settings.method](work), row_tokens
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if work.rows == 1:
                raise AnalysisError(
                    f"not even one text of {work.batch.ids.shape[1]} tokens fits into the memory",
                    where=plan.encoder.name,
                    fix="shorten max_length, or use a larger device",
                ) from error
        row_tokens = work.rows // 2 * work.batch.ids.shape[1]
        if plan.encoder.device.type == "cuda":
            torch.cuda.empty_cache()


def _measured(plan: AttributionPlan) -> AttributionPlan:
    """The plan with its memory and time: one node of the longest batch's first unit, then a typical batch."""
    longest, typical = plan.batches[0][:1], plan.batches[len(plan.batches) // 2]
    work = work_of(plan, longest, 1)
    with graph_memory(plan.encoder.backbone) as tally:
        METHODS[plan.settings.method](replace(work, quadrature=replace(work.quadrature, rules=(gauss(1),))))
    width = work.batch.ids.shape[1]
    bytes_per_token = max(1.0, OVERHEAD * tally.peak / width)
    budget = budget_of(plan.settings.memory, plan.encoder.device)
    fitting = int(budget / bytes_per_token)
    row_tokens = max(width, min(fitting, ROW_TOKENS[plan.encoder.device.type]))
    start = time.perf_counter()
    _fitting(plan, typical, row_tokens)
    took = time.perf_counter() - start
    counts = [sum(len(row) for row in rows) for rows in plan.tokens]
    seconds = took * sum(counts) / max(1, sum(counts[i] for i in typical))
    return replace(plan, row_tokens=row_tokens, bytes_per_token=bytes_per_token, seconds=seconds)


def _noise_level(plan: AttributionPlan, work: Work, values: Values) -> Float[Tensor, "unit"]:
    """What rounding alone may do to each unit's F: the encoder's tolerance times the lengths that F is made of."""
    asked, relative = work.objective, rounding(plan.encoder, plan.settings)
    if asked.other is None:
        return next(iter(values.values())).end.abs() * relative
    length = asked.other.norm(dim=-1)
    if not asked.cosine:
        with torch.no_grad():
            length = length * forward(plan.encoder, work.batch).final.norm(dim=-1)
    return asked.of_units(length) * relative


def rounding(encoder: Encoder, settings: NeuronSettings) -> float:
    """Relative distance that rounding may put between two vectors that should be one."""
    dtype = PRECISIONS[settings.precision]
    cast = 0.0 if dtype is None else 4 * torch.finfo(dtype).eps * (encoder.anatomy.n_blocks + 1) ** 0.5
    return tolerance(encoder) + cast


def _precision_effect(plan: AttributionPlan) -> float:
    """Mean relative difference of the magnitudes to float32, on the typical batch."""
    batch = plan.batches[len(plan.batches) // 2]
    fast, _ = _fitting(plan, batch, plan.row_tokens)
    exact, _ = _fitting(replace(plan, settings=replace(plan.settings, precision="float32")), batch, plan.row_tokens)
    errors = [(fast[s].magnitude - exact[s].magnitude).abs().sum(1) / exact[s].magnitude.sum(1) for s in plan.sites]
    return float(torch.stack(errors).nan_to_num(0.0).mean())
