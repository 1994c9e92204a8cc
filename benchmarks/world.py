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

from retroscope.analyses import analyses
from retroscope.collection.collection import Collection
from retroscope.collection.world.files import NEGATIVES_RUN, PRETRAINING
from retroscope.display import progress_bars
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.load import collection_of
from retroscope.inputs.settings import DataSettings, NegativesSettings, StudySettings
from retroscope.probing.settings import ProbeSettings
from retroscope.scores import Scores
from retroscope.statistics.resampling.crossed import crossed_mean
from retroscope.study.demo import LOAD, PRETRAINED, SHAPE, STRATA, TRAINED, write_demo_world
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import run_study
from retroscope.study.training.grid import Grid, prepare_grid, run_grid
from retroscope.study.training.grid_settings import GridSettings
from retroscope.study.training.grid_summary import gather
from retroscope.study.training.settings import PretrainStudySettings
from retroscope.typesetting.subject import MODEL

MODELS = {"none": "pre-trained", "all": "from scratch"}
PROBED = ("known-held-out", "unknown-held-out")
N = 5  # passages that a probe chooses among


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
        probes(grid, chosen.out)


def shown(values: np.ndarray) -> str:
    """Mean and interval of a seed x query table."""
    estimate = crossed_mean(values, bounds=(0, 1))
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def settings(out: Path, seeds: int) -> GridSettings:
    """The grid: pre-trained and from scratch, every stratum."""
    world = write_demo_world(out / "world")
    text = PretrainStudySettings(
        text=(str(world / PRETRAINING),), shape=SHAPE, tokenizer="words", pretraining=PRETRAINED
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


def probes(grid: Grid, out: Path) -> None:
    """The last layer's probes of the backbone and both retrievers, fitted on both strata and told apart after."""
    world = f"beir:{out / 'world'}"
    collection = collection_of(DataSettings(source=world, split="test"))
    strata = {name: collection_of(DataSettings(source=world, split=name)).judged_queries for name in PROBED}
    apart = NegativesSettings(how="run", run=str(out / "world" / NEGATIVES_RUN))
    left_out = {name: None for name, one in analyses().items() if not one.required}
    chosen = StudySettings(negatives=apart, analyses={**left_out, "probes": ProbeSettings(passages=(N,))})
    seeds = grid.axes["seed"]
    columns = {"backbone": [out / "grid" / "backbones" / f"mlm_seed{seed}" for seed in seeds]}
    for level, name in MODELS.items():
        cells = [cell for cell in grid.cells if cell.reinitialise == level]
        columns[name] = [out / "grid" / "cells" / cell.name / "model" for cell in cells]
    by_name: dict[str, list[str]] = {}
    for name, folders in columns.items():
        load = {"pooling": "mean", "similarity": "cosine", "max_length": 64} if name == "backbone" else {}
        probed = [probe_scores(folder, load, collection, chosen, out / "vectors") for folder in folders]
        scores = [one.values.sel(control="none", passages=N).isel(layer=-1) for one in probed]
        for ids in strata.values():
            for probe in scores[0].indexes["probe"]:
                values = np.stack([s.sel(probe=probe).reindex(query=list(ids)).values for s in scores])
                by_name.setdefault(probe, []).append(shown(values[:, np.isfinite(values).all(axis=0)]))
    titles = [f"{name}, {stratum}" for name in columns for stratum in strata]
    print(f"\n| last layer, N = {N}, {len(seeds)} seeds | {' | '.join(titles)} |\n|{'---|' * (len(titles) + 1)}")
    for probe, cells in by_name.items():
        print(f"| {probe} | {' | '.join(cells)} |")


def probe_scores(
    folder: Path, load: dict[str, object], collection: Collection, settings: StudySettings, cache: Path
) -> Scores:
    """The accuracies of one model's probes, (query, probe, control, passages, layer)."""
    plan = plan_study({MODEL: load_retriever(folder, **load)}, [collection], settings, cache=cache)
    return run_study(plan).measured["probes"][0].scores[MODEL]


if __name__ == "__main__":
    main()
