"""Run the probes for all combinations of layer, split, control, probe and number of candidates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from retroscope.collection.records import Candidates
from retroscope.display import ShownCount, shown_count
from retroscope.engine.streams import in_streams
from retroscope.errors import AnalysisError, listed
from retroscope.probing.controls import CONTROLS, View, controls_on, views
from retroscope.probing.mdl import ALL, Bits, code_length, coding_order
from retroscope.probing.probes import PROBES
from retroscope.probing.result import ProbeResult, probe_result
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import Choices, Split
from retroscope.probing.tally import ProbePlan, ProbeTally
from retroscope.probing.tasks import Task, build_task
from retroscope.probing.trial import ProbeOutcome, ProbeTrial
from retroscope.progress import Count
from retroscope.representations.vectors import Representations, RetrieverRepresentations, Vectors

ProbedLayer = tuple[RetrieverRepresentations, bool, int]  # vectors, whether they are the random-weight copy's, layer


def probe(
    representations: RetrieverRepresentations,
    candidates: Sequence[Candidates],
    settings: ProbeSettings | None = None,
    *,
    random_weights: RetrieverRepresentations | None = None,
    texts: Mapping[str, int] | None = None,
    passage_texts: Mapping[str, int] | None = None,
    progress: ShownCount = None,
) -> ProbeResult:
    """Measure how well each layer's vectors predict relevance, by all probes and controls, for every N and seed.

    N is the number of candidates from which a probe chooses.

    Args:
        representations: vectors of the queries and passages at every layer.
        candidates: the relevant passage and the hard negatives of each probe example. Longer lists of negatives than N
            - 1 (e.g. 100) leave more probe examples to train on.
        random_weights: vectors of the same texts by the same architecture with random weights. Without them, the
            control "random_weights" is left out, with a warning.
        texts: query id -> index of its distinct text (`Collection.query_texts`). Queries with the same text count as
            one observation in the choice of a ridge and in every interval. None: all texts are distinct.
        passage_texts: passage id -> index of its distinct text (`Collection.texts_of_passages`). Passages with the same
            text count as one in the splits and in the control "hash_labels". None: all texts are distinct.
        progress: called with (steps done, steps in all), or True, False, None: see `display.shown`.

    Raises:
        AnalysisError: if the candidates cannot be split, or the vectors cannot be probed.
    """
    settings_used = settings or ProbeSettings()
    task = build_task(
        candidates,
        max(settings_used.passages),
        texts,
        passage_texts=passage_texts,
        as_given=settings_used.rules.as_given,
    )
    plan = _plan(representations, task, settings_used, random_weights)
    tally = ProbeTally(plan)
    steps = _steps(plan, representations, random_weights)
    with shown_count(progress, "probing") as report:
        _run_cells(tally, steps, report)
    result = probe_result(tally, representations, random_weights)
    return result if texts is None else result.with_texts(texts)


@dataclass(frozen=True, eq=False)
class Round:
    """One split of the probe examples, with the queries and labels that each control uses; the same for every layer.

    Attributes:
        tests: training, validation and test examples for each group of controls that use the same queries.
        message: all probe examples in the order in which the online code transmits them.
        codes: `message` with the queries and labels of each group of controls; empty unless "mdl" is requested.
    """

    split: Split
    tests: list[View]
    message: Choices
    codes: list[View]


@dataclass(frozen=True, eq=False)
class ProbeCell:
    """One layer and one split of the probe examples, on which all probes run under all controls.

    Attributes:
        vectors: vectors of the queries and of the passages at this layer.
    """

    layer: int
    round: Round
    vectors: tuple[torch.Tensor, torch.Tensor]
    similarity: str


@dataclass(frozen=True, eq=False)
class CellOutcomes:
    """Results of the probes of one cell.

    Attributes:
        tests: outcome of each probe, by name, for each of `Round.tests`.
        codes: (code lengths in bits, whether every fit converged) for each of `Round.codes`.
    """

    tests: list[dict[str, ProbeOutcome]]
    codes: list[tuple[Bits, bool]]


def _run_cells(tally: ProbeTally, steps: Sequence[ProbedLayer], report: Count | None) -> None:
    """Measure every cell (a layer and a split), several at a time, and add the outcomes to `tally` in a fixed order.

    A cell runs on one thread of torch, so that results do not depend on the number of processors. A fit is thousands of
    small operations. Threads that wait for one another at each of them cost more than they save: on a busy machine ten
    times the processor time.
    """
    plan = tally.plan
    rounds = {is_random: _rounds(plan, is_random) for is_random in {is_random for _, is_random, _ in steps}}
    total, done = len(steps) * len(plan.splits), 0

    def cells() -> Iterator[ProbeCell]:
        for source, is_random, layer in steps:
            vectors = _vectors(source, plan.task, layer)
            yield from (ProbeCell(layer, round_, vectors, source.similarity) for round_ in rounds[is_random])

    def add(cell: ProbeCell, outcomes: CellOutcomes) -> None:
        nonlocal done
        _add(tally, cell, outcomes)
        done += 1
        if report is not None:
            report(done, total)

    in_streams(cells(), lambda cell: _measured(plan, cell), add, most=total, threads_each=1)


def _rounds(plan: ProbePlan, is_random: bool) -> list[Round]:
    """Return every split with the queries and labels of the controls that use the model's vectors.

    Args:
        is_random: return those of the controls that use the vectors of the random-weight copy instead.
    """

    def seen(split: Split, parts: dict[str, Choices]) -> list[View]:
        names = controls_on(plan.controls, random_weights=is_random)
        return views(parts, split.seed, names, plan.settings.passages, plan.task.texts)

    rounds = []
    for split in plan.splits:
        message = coding_order(plan.task, split.seed)
        codes = seen(split, {ALL: message}) if plan.has_mdl else []
        rounds.append(Round(split, seen(split, split.parts), message, codes))
    return rounds


def _plan(
    representations: RetrieverRepresentations,
    task: Task,
    settings: ProbeSettings,
    random_weights: RetrieverRepresentations | None,
) -> ProbePlan:
    possible = (False,) if random_weights is None else (False, True)
    controls = tuple(name for name in settings.chosen_controls if CONTROLS[name].random_weights in possible)
    if not controls:
        raise AnalysisError(
            f"the controls {settings.chosen_controls} need a copy of the model with random weights, which was not "
            f"given",
            where="probing",
            fix="give the vectors of such a copy (random_weights=VECTORS), or add 'none' to the controls",
        )
    return ProbePlan(
        task=task,
        settings=settings,
        splits=tuple(settings.rules.split(task, seed) for seed in settings.seed_values),
        controls=controls,
        layers=_layers([representations] if random_weights is None else [representations, random_weights], settings),
    )


def _layers(sources: Sequence[RetrieverRepresentations], settings: ProbeSettings) -> tuple[int, ...]:
    """Return the layers to probe: those of the settings, or else all; check that every tower has them."""
    depths = {f"{s.name} ({side})": getattr(s, side).n_layers for s in sources for side in ("query", "passage")}
    if len({*depths.values()}) > 1:
        raise AnalysisError(
            f"the query and passage encoders have different numbers of layers: {depths}",
            where="probing",
            fix="use encoders, and a copy with random weights, that have the same number of layers",
        )
    depth = min(depths.values())
    layers = tuple(range(depth)) if settings.layers is None else settings.layers
    wrong = [k for k in layers if not 0 <= k < depth]
    if wrong:
        raise AnalysisError(
            f"probes.layers names layers that do not exist: {wrong}",
            where="probing",
            fix=f"choose layers from 0 to {depth - 1}",
        )
    return layers


def _steps(
    plan: ProbePlan, representations: RetrieverRepresentations, random_weights: RetrieverRepresentations | None
) -> list[ProbedLayer]:
    """List the vectors to probe as (vectors, whether they are those of the random-weight copy, layer)."""
    sources = [(representations, False)]
    if random_weights is not None:
        sources.append((random_weights, True))
    needed = {CONTROLS[name].random_weights for name in plan.controls}
    return [(source, is_random, layer) for source, is_random in sources if is_random in needed for layer in plan.layers]


def _vectors(source: RetrieverRepresentations, task: Task, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one layer's vectors of queries and passages, in the order of `task.query_ids` and `task.passage_ids`."""
    queries = _rows(source.query, task.query_ids, layer, source.name)
    passages = _rows(source.passage, task.passage_ids, layer, source.name)
    if queries.shape[1] != passages.shape[1]:
        raise AnalysisError(
            f"the query vectors have {queries.shape[1]} dimensions, but the passage vectors have {passages.shape[1]}",
            where=f"{source.name}, layer {layer}",
            fix="probe a retriever whose two towers have vectors of the same size",
        )
    return torch.from_numpy(queries), torch.from_numpy(passages)


def _rows(tower: Representations, ids: tuple[str, ...], layer: int, name: str) -> Vectors:
    vectors: Vectors = tower.layer(layer)[tower.rows(ids)]
    broken = [ids[row] for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1))]
    if broken:
        raise AnalysisError(
            f"the vectors of these texts have infinite or missing values:{listed(broken)}",
            where=f"{name}, layer {layer}",
            fix="encode the collection again in float32",
        )
    return vectors


def _measured(plan: ProbePlan, cell: ProbeCell) -> CellOutcomes:
    """Run all probes under all controls on one split and layer, and return their accuracies and code lengths."""

    def trial(view: View) -> ProbeTrial:
        return ProbeTrial(*cell.vectors, view, plan.settings.options, cell.similarity, plan.task.texts)

    tests = [{name: PROBES[name](some) for name in plan.probes} for some in map(trial, cell.round.tests)]
    return CellOutcomes(tests, [code_length(trial(view)) for view in cell.round.codes])


def _add(tally: ProbeTally, cell: ProbeCell, outcomes: CellOutcomes) -> None:
    """Add the accuracies and code lengths of one split and layer to `tally`."""
    for view, by_probe in zip(cell.round.tests, outcomes.tests, strict=True):
        for name, outcome in by_probe.items():
            tally.add_outcome(name, cell.layer, cell.round.split, view.controls, outcome)
    for view, (bits, converged) in zip(cell.round.codes, outcomes.codes, strict=True):
        tally.add_bits(cell.layer, cell.round.message.query, view.controls, bits)
        tally.mdl_unconverged += not converged
