"""Processor time of the default probe grid, a cell (layer, split, model or its random-weight copy), by stage.

    python benchmarks/probe_grid.py                        # made-up vectors: 574 passages, 726 queries, width 384
    python benchmarks/probe_grid.py --queries 2655 --passages 2600
    python benchmarks/probe_grid.py --model MODEL --data beir:FOLDER --cache FOLDER [--limit-queries 726]
    python benchmarks/probe_grid.py --against OLDER/src    # both versions by turns, and how their results differ

Each turn is a process of its own. It prepares the vectors, probes a tiny grid so that imports are not counted, and then
measures. Ratios are of processor time, all threads together; wall time stands beside it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from retroscope.collection.records import Candidates
from retroscope.probing import grid
from retroscope.probing.mdl import code_length
from retroscope.probing.probes import PROBES
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.vectors import Representations, RetrieverRepresentations, representations_in_memory

HERE = Path(__file__).resolve().parents[1] / "src"
NEGATIVES = 100
WIDTH, DEPTH = 384, 7
SAME = 1e-12  # means that differ by less are equal
GOAL = 60.0  # seconds of processor time for the whole default grid of one model: 7 layers, 5 splits, two sources

Material = tuple[RetrieverRepresentations, RetrieverRepresentations, list[Candidates], Mapping[str, int] | None]


def main() -> None:
    """Measure one version, or two by turns."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    if args.child:
        measure(args)
        return
    sources = {"here": HERE} if args.against is None else {"against": args.against, "here": HERE}
    with TemporaryDirectory() as folder:
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
        for turn in range(args.turns):
            for name, source in sources.items():
                turns[name].append(_turn(source, Path(folder) / f"{name}-{turn}"))
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.threads} thread(s)")
        for name, runs in turns.items():
            report(name, runs)
        if args.against is not None:
            ratios = [a["work"] / b["work"] for a, b in zip(turns["against"], turns["here"], strict=True)]
            print(f"\nratio of processor time, against / here: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
            compare(Path(folder) / "against-0.npz", Path(folder) / "here-0.npz")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=726, help="made-up queries")
    parser.add_argument("--passages", type=int, default=574, help="made-up passages")
    parser.add_argument("--model", help="a checkpoint, instead of made-up vectors")
    parser.add_argument("--data", help="its collection, e.g. beir:FOLDER")
    parser.add_argument("--cache", type=Path, help="folder of its vectors")
    parser.add_argument("--limit-queries", type=int, help="of the collection: that many, evenly spaced")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 3, 6])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=ProbeSettings().tolerance)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--against", type=Path, help="folder `src` of another version")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _turn(source: Path, out: Path) -> dict[str, Any]:
    """Run this script with the package of that folder; return what it measured."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", str(out)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(source)})
    return dict(json.loads(out.with_suffix(".json").read_text()))


def measure(args: argparse.Namespace) -> None:
    """Probe once, and write the times as JSON and the results as arrays."""
    real, random, candidates, texts = made_up(args) if args.model is None else encoded(args)
    settings = ProbeSettings(layers=tuple(args.layers), seeds=args.seeds, tolerance=args.tolerance)
    grid.probe(real, candidates, replace(settings, layers=(0,), seeds=1, passages=(2,), ridge=(10.0,)), texts=texts)
    stages = timed_stages()
    wall, work = perf_counter(), process_time()
    result = grid.probe(real, candidates, settings, random_weights=random, texts=texts)
    wall, work = perf_counter() - wall, process_time() - work
    cells = 2 * len(args.layers) * args.seeds
    stages["splits, views, sums"] = work - sum(stages.values())
    sizes = {
        name: int(n) for name, n in zip(["train", "validation", "test"], result.split_sizes[0].values, strict=True)
    }
    taken = {"work": work, "wall": wall, "cells": cells, "stages": stages, "sizes": sizes}
    args.child.with_suffix(".json").write_text(json.dumps(taken))
    assert result.mdl is not None
    np.savez(
        args.child.with_suffix(".npz"),
        credits=result.scores.values.values,
        bits=result.mdl.values.values,
        ridges=result.fits["ridge"].values,
        iterations=result.fits["iterations"].values,
        converged=result.fits["converged"].values,
    )


def timed_stages() -> dict[str, float]:
    """Return processor seconds of every probe, filled while the grid runs."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, job: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            start = process_time()
            result = job(*args)
            seconds[name] += process_time() - start
            return result

        return run

    for name, job in list(PROBES.items()):
        PROBES[name] = timed(name, job)
    vars(grid)["code_length"] = timed("mdl", code_length)
    return seconds


def made_up(args: argparse.Namespace) -> Material:
    """Return vectors in which relevance is readable in part, and more so from layer to layer.

    Query and relevant passage share a topic; the variance of the dimensions falls as in a real encoder, so that the
    features are correlated. Negatives are the passages nearest to the query by topic.
    """
    rng = np.random.default_rng(0)
    scale = np.arange(1, WIDTH + 1) ** -0.5
    mixing = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    topics = rng.normal(size=(args.passages, WIDTH))
    wanted = np.arange(args.queries) % args.passages
    meant = topics[wanted] + rng.normal(size=(args.queries, WIDTH))
    order = np.argsort(-(meant * scale) @ (topics * scale).T, axis=1)

    def retriever(name: str, share: Sequence[float]) -> RetrieverRepresentations:
        towers: list[Representations] = []
        for kind, centre in (("q", meant), ("p", topics)):
            noise = rng.normal(size=(len(centre), DEPTH, WIDTH))
            part = np.array(share)[:, None]
            vectors = ((part * centre[:, None] + (1 - part) * noise) * scale + scale) @ mixing
            towers.append(representations_in_memory([f"{kind}{i}" for i in range(len(centre))], vectors))
        queries, passages = towers
        return RetrieverRepresentations(name, queries, passages, "cosine", {})

    candidates = [
        Candidates(f"q{i}", f"p{wanted[i]}", tuple(f"p{j}" for j in row[: NEGATIVES + 1] if j != wanted[i])[:NEGATIVES])
        for i, row in enumerate(order)
    ]
    share = np.linspace(0.3, 0.7, DEPTH)
    return retriever("made up", share.tolist()), retriever("less of it", (share / 2).tolist()), candidates, None


def encoded(args: argparse.Namespace) -> Material:
    """Return a checkpoint's vectors of a collection and those of its random-weight copy."""
    from retroscope.collection.loading import load_collection
    from retroscope.collection.negatives import hard_negatives
    from retroscope.encoders.loading import load_retriever
    from retroscope.encoders.random_weights import with_random_weights
    from retroscope.representations.represent import represent

    data, retriever = load_collection(args.data), load_retriever(args.model)
    if args.limit_queries:
        step = len(data.queries) // args.limit_queries
        kept = dict(list(data.queries.items())[::step][: args.limit_queries])
        judged = tuple(j for j in data.judgments if j.query_id in kept)
        data = replace(data, queries=kept, judgments=judged)
    real, random = (represent(r, data, args.cache) for r in (retriever, with_random_weights(retriever, 0)))
    return real, random, list(hard_negatives(data, NEGATIVES).candidates), data.query_texts


def report(name: str, runs: Sequence[Mapping[str, Any]]) -> None:
    """Print the median turn's seconds of a cell, by stage."""
    cells = runs[0]["cells"]
    a_cell = median(run["work"] for run in runs) / cells
    wall = median(run["wall"] for run in runs) / cells
    sizes = ", ".join(f"{n} {part}" for part, n in runs[0]["sizes"].items())
    print(f"\n{name}: {a_cell:.3f} s of processor time a cell ({wall:.3f} s of wall time); {cells} cells, {sizes}")
    for stage in runs[0]["stages"]:
        print(f"  {stage:20}{median(run['stages'][stage] for run in runs) / cells:8.3f}")
    print(f"  70 cells: {70 * a_cell:.0f} s (goal {GOAL:.0f} s)")


def compare(old: Path, new: Path) -> None:
    """Print how many ridges, credits and bits of the two versions differ."""
    a, b = np.load(old), np.load(new)
    ridge = (a["ridges"] != b["ridges"]) & ~np.isnan(a["ridges"])
    print(f"chosen ridges: {int(ridge.sum())} of {int((~np.isnan(a['ridges'])).sum())} differ")
    gap = np.abs(a["credits"] - b["credits"])
    cells = np.abs(a["credits"].mean(axis=0) - b["credits"].mean(axis=0))
    moved, apart = int((gap > SAME).sum()), int((cells > SAME).sum())
    print(f"credits of a query: {moved} of {gap.size} differ")
    print(f"accuracies: {apart} of {cells.size} differ, by at most {cells.max():.5f}")
    bits = np.abs(a["bits"] - b["bits"]).max(), np.abs((a["bits"] - b["bits"]).mean(axis=0)).max()
    print(f"code lengths: by at most {bits[0]:.1e} bits a query, {bits[1]:.1e} bits in the mean of a cell")
    steps = int((a["iterations"] != b["iterations"]).sum())
    print(f"iterations: {steps} differ; all converged: {bool(b['converged'].all())}")


if __name__ == "__main__":
    main()
