"""Compute the attribution of every neuron over many examples: plan it, run it in batches, resume it if interrupted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.aggregate import Aggregates, add, begin, grown, load_state, save_state
from retroscope.attribution.examples import Example
from retroscope.attribution.finish import finished
from retroscope.attribution.integrals.methods import METHODS
from retroscope.attribution.integrals.paths import Values, Work, joined
from retroscope.attribution.integrals.quadrature import gauss
from retroscope.attribution.integrals.trace import recorded_tensors, trace
from retroscope.attribution.memory import OVERHEAD, budget_of, distinct_bytes, graph_memory, out_of_memory
from retroscope.attribution.plan import AttributionPlan, make_batches, work_of
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.sites import Site, find_sites
from retroscope.attribution.top_neurons.selection import ranked_part
from retroscope.attribution.top_neurons.stability import agreement, in_stages, stage_ends
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import forward, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.hardware import TF32_EPS, autocast_type
from retroscope.encoders.precision import EXACT, TF32
from retroscope.encoders.token_budgets import SCALED_COPIES
from retroscope.errors import AnalysisError
from retroscope.files.cache_records import used
from retroscope.progress import Count

STATE = "neurons-"  # begin of the name of a state in the cache
SAVE_EVERY = 10.0  # seconds


def plan_attribution(
    encoder: Encoder,
    examples: Sequence[Example],
    settings: AttributionSettings,
    *,
    cosine: bool = False,
    padding_pooled: bool = False,
) -> AttributionPlan:
    """Plan an attribution: tokenise the examples, form batches, and measure the memory for one example.

    Args:
        cosine: whether the retriever compares vectors by cosine.
        padding_pooled: whether the pooling includes padding tokens, as in the published study.

    Raises:
        AnalysisError: if there is no example.
    """
    if not examples:
        raise AnalysisError(
            "no text or query was given to attribute", where=encoder.name, fix="give at least one text or query"
        )
    flat = iter(tokenise(encoder, [text for example in examples for text in example.texts]))
    tokens = tuple(tuple(next(flat) for _ in example.texts) for example in examples)
    stages = tuple(stage_ends(len(examples)) if in_stages(len(examples), settings) else [len(examples)])
    batches = [make_batches(encoder, tokens[start:end], settings, start) for start, end in pairwise((0, *stages))]
    plan = AttributionPlan(
        encoder,
        examples,
        settings,
        find_sites(encoder, settings.parts),
        tuple(batch for stage in batches for batch in stage),
        tokens,
        padding_pooled=padding_pooled,
        cosine=cosine,
        stages=stages,
    )
    return _measured(plan)


def attribute_neurons(
    plan: AttributionPlan, folder: Path | None = None, progress: Count | None = None, *, stop_at: int = 0
) -> NeuronAttribution:
    """Compute the attribution of every neuron, as means over the examples of a plan, and statistics of each example.

    Examples are added in stages. The attribution stops after the stage at which two random halves of the examples agree
    on the top neurons as well as `settings.agreement` requires.

    Args:
        folder: folder in which the sums are saved. It is created if it does not exist. After an interruption, the same
            plan continues after its last saved batch and gives the same numbers, to the last bit. Plans with more
            examples, or with a higher `settings.agreement`, continue from the saved sums, too.
        progress: called with (how many examples are done, how many there are at most).
        stop_at: how many examples to attribute, whatever their agreement, or 0 to stop by agreement. To compare this
            model with one attributed earlier, give that model's number of examples, so that both have the same
            examples.

    Raises:
        AnalysisError: if the memory does not suffice for a single example.
    """
    stage = plan.until(plan.stages[0])
    effect = _precision_effect(stage) if plan.settings.precision != EXACT else None
    sums, done, row_tokens, agreed = _begin(stage), 0, plan.row_tokens, None
    for end in plan.stages:
        stage = plan.until(end)
        sums = grown(sums, stage.half)
        row_tokens = _add_stage(stage, folder, sums, (done, row_tokens), _of(progress, len(plan.examples)))
        done = len(stage.batches)
        if len(plan.stages) > 1:
            agreed = agreement(sums.arrays[f"{ranked_part(plan.settings.parts)}/half_share"])
            if end == stop_at or (not stop_at and agreed >= (plan.settings.agreement or 0.0)):
                break
    return finished(stage, sums, row_tokens, {"precision_effect": effect, "agreement_reached": agreed})


def _of(progress: Count | None, examples: int) -> Callable[[int], None]:
    return lambda done: progress(done, examples) if progress else None


def _add_stage(
    plan: AttributionPlan,
    folder: Path | None,
    sums: Aggregates,
    start: tuple[int, int],
    report: Callable[[int], None],
) -> int:
    """Add the stage's batches that the saved sums lack, and return how many tokens run at once after the last batch.

    Args:
        folder: folder in which the sums are saved. If it has the sums of the whole stage, nothing is computed.
        start: how many batches the sums contain, and how many tokens run at once.
    """
    if folder is None:
        return _add_batches(plan, sums, start, report, lambda done, row_tokens: None)
    folder.mkdir(parents=True, exist_ok=True)
    state, saved = folder / f"{STATE}{plan.key[:32]}.npz", [time.monotonic()]
    used(state, plan.origin)
    resumed = load_state(state, sums)
    if resumed is not None and resumed[0] == len(plan.batches):  # finished: no lock, any number of readers
        report(len(plan.examples))
        return resumed[1]

    def save(done: int, row_tokens: int) -> None:
        if done == len(plan.batches) or time.monotonic() - saved[0] > SAVE_EVERY:
            save_state(state, sums, done=done, row_tokens=row_tokens)
            saved[0] = time.monotonic()

    with FileLock(state.with_suffix(".lock")):  # two runs of one plan: the second takes what the first made
        return _add_batches(plan, sums, load_state(state, sums) or start, report, save)


def _add_batches(
    plan: AttributionPlan,
    sums: Aggregates,
    start: tuple[int, int],
    report: Callable[[int], None],
    save: Callable[[int, int], None],
) -> int:
    first, row_tokens = start
    report(sum(map(len, plan.batches[:first])))
    for done, batch in enumerate(plan.batches[first:], start=first + 1):
        values, level, row_tokens = _fitting(plan, batch, row_tokens)
        add(sums, batch, values, level)
        save(done, row_tokens)
        report(sum(map(len, plan.batches[:done])))
    return row_tokens


def _begin(plan: AttributionPlan) -> Aggregates:
    widths = {site.part: site.weight(plan.encoder).shape[0] for site in plan.sites}
    return begin(plan.settings, widths, plan.encoder.anatomy.n_blocks, plan.half)


def _fitting(
    plan: AttributionPlan, batch: tuple[int, ...], row_tokens: int
) -> tuple[Values, Float[Tensor, "example"], int]:
    """Attribute one batch, with as many tokens at once as fit into memory.

    Return the values, a bound for each example on the rounding error of F (the attributed scalar), and the number of
    tokens that fitted.

    If memory is short, the batch is halved, so that its recorded forward pass needs less memory, or fewer rows run at
    once. A row is one text at one node of the integration path.
    """
    work = work_of(plan, batch, row_tokens)
    try:
        values = METHODS[plan.settings.method](work)
        return values, _noise_level(plan, work, values), row_tokens
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        message = str(error)
    if plan.encoder.device.type == "cuda":
        torch.cuda.empty_cache()
    tokens, width = work.batch.ids.numel(), work.batch.ids.shape[1]
    if len(batch) > 1 and (work.rows == 1 or tokens >= row_tokens):
        halves = [_fitting(plan, half, row_tokens) for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :])]
        half_values, levels, at_once = zip(*halves, strict=True)
        return joined(half_values), torch.cat(levels), min(at_once)
    if work.rows > 1:
        return _fitting(plan, batch, work.rows // 2 * width)
    raise AnalysisError(
        f"a single example of {tokens} tokens does not fit into the memory of {plan.encoder.device}: {message}",
        where=plan.encoder.name,
        fix="use a smaller max_length (--max-length), or a device with more memory (--device)",
    )


def _measured(plan: AttributionPlan) -> AttributionPlan:
    """Return the plan with its memory per token measured, and with the number of tokens that fit into memory.

    The measurement runs the first example of the batch with the longest texts at one node of the path.
    """
    longest = max(plan.batches, key=lambda batch: max(len(row) for row in plan.tokens[batch[0]]))
    work = replace(work_of(plan, longest[:1], 1), sites=_largest_sites(plan))
    with graph_memory(plan.encoder.backbone) as tally:
        METHODS[plan.settings.method](replace(work, quadrature=replace(work.quadrature, rules=(gauss(1),))))
    width = work.batch.ids.shape[1]
    bytes_per_token = max(1.0, OVERHEAD * tally.peak / width)
    # the recorded pass of the largest batch is in memory together with the scaled network
    largest = max(sum(len(row) for i in batch for row in plan.tokens[i]) for batch in plan.batches)
    record = int(largest * distinct_bytes(recorded_tensors(trace(work.encoder, work.batch))) / work.batch.ids.numel())
    budget = max(0, budget_of(plan.settings.memory, plan.encoder.device) - record)
    fitting = int(budget / bytes_per_token)
    row_tokens = max(width, min(fitting, SCALED_COPIES[plan.encoder.device.type]))
    return replace(plan, row_tokens=row_tokens, bytes_per_token=bytes_per_token, record_bytes=record)


def _largest_sites(plan: AttributionPlan) -> tuple[Site, ...]:
    """Return the FFN matrices whose attribution needs the most memory."""
    if plan.settings.method != "weight_path":
        return plan.sites
    return tuple(site for site in plan.sites if site.layer == 1)


def _noise_level(plan: AttributionPlan, work: Work, values: Values) -> Float[Tensor, "example"]:
    """Return an upper bound on the rounding error of each example's F.

    For `norm`, it is |F| times the relative rounding error of a vector. For `score` and `margin`, it is the product of
    the lengths of the two compared vectors, times the same relative error.
    """
    objective, relative = work.objective, rounding(plan.encoder, plan.settings)
    if objective.other is None:
        return next(iter(values.values())).end.abs() * relative
    length = objective.other.norm(dim=-1)
    if not objective.cosine:
        with torch.no_grad():
            length = length * forward(plan.encoder, work.batch).final.norm(dim=-1)
    return objective.of_examples(length) * relative


def rounding(encoder: Encoder, settings: AttributionSettings) -> float:
    """Return the relative distance that rounding may cause between two vectors that are equal in exact arithmetic."""
    dtype = autocast_type(settings.precision)
    eps = torch.finfo(dtype).eps if dtype else TF32_EPS if settings.precision == TF32 else 0.0
    cast = 4 * eps * (encoder.anatomy.n_blocks + 1) ** 0.5
    return float(tolerance(encoder) + cast)


def _precision_effect(plan: AttributionPlan) -> float:
    """Return the mean relative difference between attributions computed in `settings.precision` and in float32.

    It is measured on the middle batch of the plan, and is a mean over examples and FFN matrices.
    """
    batch = plan.batches[len(plan.batches) // 2]
    fast, *_ = _fitting(plan, batch, plan.row_tokens)
    exact, *_ = _fitting(replace(plan, settings=replace(plan.settings, precision=EXACT)), batch, plan.row_tokens)
    errors = [(fast[s].magnitude - exact[s].magnitude).abs().sum(1) / exact[s].magnitude.sum(1) for s in plan.sites]
    return float(torch.stack(errors).nan_to_num(0.0).mean())
