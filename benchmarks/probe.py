"""The full probing grid in seconds, and the published probe beside its fast form.

    python benchmarks/probe.py --model MODEL --data beir:FOLDER --cache FOLDER

Layer vectors are made once and kept in the cache; their time is not counted. The published loop
runs on one layer for a few seeds, on the same choices in the same slots, in the same process.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch

from published_probe import Concatenations, published_accuracy
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.random_weights import with_random_weights
from retroscope.probing.controls import views
from retroscope.probing.grid import probe
from retroscope.probing.probes import PROBES
from retroscope.probing.probes.concat import slots
from retroscope.probing.result import ProbeResult
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import published_split
from retroscope.probing.tasks import Task, build_task
from retroscope.probing.trial import ProbeTrial
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations

SIZES = (2, 3, 4, 5)


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    data = load_collection(args.data)
    retriever = load_retriever(args.model)
    real, random_weights = (represent(r, data, args.cache) for r in (retriever, with_random_weights(retriever, 0)))
    candidates = hard_negatives(data, 100).candidates
    layers = tuple(range(min(2, real.query.n_layers))) if args.small else None
    settings = ProbeSettings(layers=layers)
    start, work = perf_counter(), process_time()
    result = probe(real, candidates, settings, random_weights=random_weights)
    seconds, work = perf_counter() - start, process_time() - work
    show(result)
    print(f"\ngrid: {seconds:.1f} s on {args.threads} threads ({work:.1f} s of processor time)", flush=True)
    compare_concat(real, candidates, args.concat_seeds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--concat-seeds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="two layers only")
    return parser.parse_args()


def show(result: ProbeResult) -> None:
    """Accuracy at the largest N, one line per probe and control."""
    means = result.scores.mean()
    largest = int(means.coords["passages"].max())
    print(f"{result.model}: N={largest}, chance {1 / largest:.3f}; choices {result.split_sizes.values.tolist()}")
    for control in means.coords["control"].values:
        for name in means.coords["probe"].values:
            line = means.sel(control=control, probe=name, passages=largest).values
            print(f"{control:18}{name:17}", *(f"{value:.3f}" for value in line))
        if (compression := result.compression()) is not None:
            line = compression.sel(control=control, passages=largest).values
            print(f"{control:18}{'mdl compression':17}", *(f"{value:.3f}" for value in line))
    print(*(f"warning: {warning}" for warning in result.warnings), sep="\n")


def compare_concat(real: RetrieverRepresentations, candidates: Sequence[Candidates], seeds: int) -> None:
    """Seconds and accuracy of both loops on the last layer, all N, a tenth of the choices reported."""
    task = build_task(candidates, max(SIZES))
    trials = [_published_trial(real, task, seed) for seed in range(42, 42 + seeds)]
    PROBES["concat"](trials[0])  # the first Adam of a process loads a compiler that both would pay for
    fast, fast_seconds = _timed(_fast, trials)
    naive, naive_seconds = _timed(_naive, trials)
    gap = fast - naive
    print(f"\nconcat, N={SIZES}, last layer: published loop {naive_seconds:.2f} s a seed, here {fast_seconds:.3f} s")
    print(f"ratio {naive_seconds / fast_seconds:.0f}x")
    for n, published, ours, error in zip(
        SIZES, naive.mean(axis=0), fast.mean(axis=0), gap.std(axis=0, ddof=1) / np.sqrt(seeds), strict=True
    ):
        print(f"N={n}: accuracy {published:.4f} and {ours:.4f}, standard error of the difference {error:.4f}")


def _published_trial(real: RetrieverRepresentations, task: Task, seed: int) -> ProbeTrial:
    split = published_split(task, seed, train_share=0.9)
    view = views(split.parts, seed, ("none",), SIZES, task.texts)[0]
    last = real.query.n_layers - 1
    queries = torch.from_numpy(real.query.layer(last)[real.query.rows(task.query_ids)])
    passages = torch.from_numpy(real.passage.layer(last)[real.passage.rows(task.passage_ids)])
    options = replace(ProbeSettings().options, first_index_wins=True)
    return ProbeTrial(queries, passages, view, options, real.similarity, task.texts)


def _timed(run: Callable[[ProbeTrial], list[float]], trials: list[ProbeTrial]) -> tuple[np.ndarray, float]:
    start = perf_counter()
    found = np.array([run(trial) for trial in trials])
    return found, (perf_counter() - start) / len(trials)


def _fast(trial: ProbeTrial) -> list[float]:
    return PROBES["concat"](trial).accuracy[0].mean(axis=1).tolist()


def _naive(trial: ProbeTrial) -> list[float]:
    parts = slots(trial, "train"), slots(trial, "test")
    cells = [[Concatenations(part, cell) for part in parts] for cell in range(len(SIZES))]
    return [published_accuracy(*cell, trial.options.concat, trial.view.seed) for cell in cells]


if __name__ == "__main__":
    main()
