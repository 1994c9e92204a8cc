"""The controlled world's own answer: what is retrieved and what probes read, by what was seen when, over seeds.

    python benchmarks/world.py --out runs/world            # about half an hour on two cores; resumable
    python benchmarks/world.py --out runs/world --probes   # and the probes of every seed

Pre-trains and fine-tunes as `retroscope demo --retrain` does, once a seed, and once a seed from scratch. Printed: the
2 x 2 of exposures with intervals over seeds and queries, as Markdown.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from retroscope.cli.terminal import progress_bars
from retroscope.encoders.loading import load_retriever
from retroscope.probing.settings import ProbeSettings
from retroscope.statistics.crossed import crossed_mean
from retroscope.study.demo import LOAD, PRETRAINED, SHAPE, STRATA, TRAINED, write_demo_world
from retroscope.study.grid import Grid, prepare_grid, run_grid
from retroscope.study.grid_settings import GridSettings
from retroscope.study.grid_summary import gather
from retroscope.study.load import collection_of
from retroscope.study.pretraining import PretrainStudySettings
from retroscope.study.settings import DataSettings, StudySettings
from retroscope.study.single import run_probes

MODELS = {"none": "pre-trained", "all": "from scratch"}
PROBED = ("known-held-out", "unknown-held-out")


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--probes", action="store_true")
    chosen = parser.parse_args()
    grid = prepare_grid(settings(chosen.out, chosen.seeds))
    with progress_bars() as progress:
        gathered = gather(grid, run_grid(grid, chosen.out / "grid", progress))
    print(f"| R@10, {chosen.seeds} seeds | {' | '.join(MODELS.values())} |\n|---|---|---|")
    for stratum, scores in gathered.items():
        cells = []
        for level in MODELS:
            at = {"reinitialise": level, "measure": "R@10", "backbone": "mlm", "strategy": "full"}
            values = scores.values.sel(at).squeeze("labels").transpose("seed", "query").values
            cells.append(shown(values))
        print(f"| {stratum} ({values.shape[1]} questions) | {' | '.join(cells)} |")
    if chosen.probes:
        probes(grid, chosen.out, chosen.seeds)


def shown(values: np.ndarray) -> str:
    """Mean and interval of a seed x query table."""
    found = crossed_mean(values, bounds=(0, 1))
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def settings(out: Path, seeds: int) -> GridSettings:
    """The grid: pre-trained and from scratch, every stratum."""
    world = write_demo_world(out / "world")
    text = PretrainStudySettings(
        text=(str(world / "pretraining.txt"),), shape=SHAPE, tokenizer="words", pretraining=PRETRAINED
    )
    data = DataSettings(source=f"beir:{world}", split="train")
    return GridSettings(
        objectives=("mlm",),
        pretraining=text,
        load=LOAD,
        data=data,
        tests=tuple(replace(data, split=name) for name in STRATA),
        seeds=tuple(range(seeds)),
        training=TRAINED,
        measures=("R@10", "RR@10"),
        keep_models=True,
    )


def probes(grid: Grid, out: Path, seeds: int) -> None:
    """The last layer's probes of every retriever, by stratum."""
    columns = [f"{MODELS[level]}, {stratum}" for level in MODELS for stratum in PROBED]
    print(f"\n| last layer, N = 5, {seeds} seeds | {' | '.join(columns)} |\n|{'---|' * 5}")
    chosen = StudySettings(probing=ProbeSettings(passages=(5,)))
    found: dict[str, list[str]] = {}
    for level in MODELS:
        for stratum in PROBED:
            collection = collection_of(DataSettings(source=f"beir:{out / 'world'}", split=stratum))
            by_seed = []
            for cell in (c for c in grid.cells if c.reinitialise == level):
                retriever = load_retriever(out / "grid" / "cells" / cell.name / "model")
                measured, _ = run_probes(retriever, collection, chosen, out / "vectors")
                by_seed.append(measured.probing.scores.values.sel(control="none", passages=5).isel(layer=-1))
            for probe in by_seed[0].indexes["probe"]:
                values = np.stack([scores.sel(probe=probe).values for scores in by_seed])
                found.setdefault(probe, []).append(shown(values[:, np.isfinite(values).all(axis=0)]))
    for probe, cells in found.items():
        print(f"| {probe} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
