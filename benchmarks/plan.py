"""Predicted against measured seconds of every stage of a study, and the time of `compare --dry-run`.

    python benchmarks/plan.py                                    # the demo's pair, which comes with the package
    python benchmarks/plan.py --before M --after M --data SPEC   # any other pair; --passages N takes that many

Everything is processor time of one thread, so that it holds on a busy machine: the rates of a plan are measured by the
same clock here. Every stage is measured once, in the order of a study; the vectors are made before the analyses.
"""

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.encoded import encoded_retrievers
from retroscope.analyses.measurement import Measurement
from retroscope.collection.collection import Collection
from retroscope.encoders import work
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.load import collection_of, pair_of
from retroscope.inputs.sampled import sampled
from retroscope.inputs.settings import DataSettings, ModelSettings, StudySettings
from retroscope.study import demo
from retroscope.study.planning.plan import Step, StudyPlan, plan_study
from retroscope.study.run import run_study
from retroscope.study.settings import from_values
from retroscope.typesetting.subject import AFTER, BEFORE

Spent = dict[str, float]


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    work.perf_counter = process_time  # type: ignore[attr-defined]
    with TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        before, after, source, settings = _study(args, Path(folder))
        models = dict(zip((BEFORE, AFTER), pair_of(before, after), strict=True))
        collection = collection_of(source)
        if args.passages:
            collection = sampled(collection, collection.judged_queries, args.passages, 0)
        spent = _measured(models, collection, settings, cache, Path(folder) / "out")
        _print(*spent)
        _print_dry_run(before, after, source, Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="the backbone")
    parser.add_argument("--after", help="the retriever")
    parser.add_argument("--data", help="a collection, e.g. beir:FOLDER")
    parser.add_argument("--passages", type=int, default=0, help="of a sample; 0 takes all")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="analyses to leave out")
    parser.add_argument("--limit", type=int, help="examples of the attribution")
    return parser.parse_args()


def _study(args: argparse.Namespace, folder: Path) -> tuple[ModelSettings, ModelSettings, DataSettings, StudySettings]:
    """Return the pair, the data and the settings: those that are given, or those of the demo."""
    values: dict[str, Any] = dict.fromkeys(args.without)
    if args.limit and "neurons" not in values:
        values["neurons"] = {"attribution": {"limit": args.limit}}
    if args.before:
        pair = ModelSettings(source=args.before), ModelSettings(source=args.after)
        return (*pair, DataSettings(source=args.data), from_values(values))
    shipped, world = demo.shipped(), demo.write_demo_world(folder / "world")
    before = ModelSettings(source=str(shipped.backbone), load=demo.LOAD)
    after = ModelSettings(source=str(shipped.retriever))
    return before, after, DataSettings(source=f"beir:{world}", split="test"), from_values(demo.SMALLER | values)


def _measured(
    models: Mapping[str, Retriever], collection: Collection, settings: StudySettings, cache: Path, out: Path
) -> tuple[StudyPlan, Spent]:
    """Plan and run a study; return the plan, and the seconds that each of its stages took."""
    spent: Spent = {}
    with _spent(spent, "plan"):
        plan = plan_study(models, [collection], settings, cache=cache, progress=False)
    read = dict.fromkeys(side for step in plan.steps if step.planned for side in step.planned.random_weights)
    for role, retriever in encoded_retrievers(plan.context, [*read]).items():
        with _spent(spent, f"encoding of {role}"):
            plan.context.encoded(retriever)
    timed = replace(plan, steps=tuple(_timed(step, spent) for step in plan.steps))
    study = run_study(timed, progress=False)
    with _spent(spent, "statistics and report"):
        study.report(out)
    return plan, spent


@contextmanager
def _spent(spent: Spent, stage: str) -> Any:
    start = process_time()
    yield
    spent[stage] = process_time() - start


def _timed(step: Step, spent: Spent) -> Step:
    """Return the step with its measurement timed."""
    measure: Callable[[Context, Any, Planned], Measurement] = step.instrument.measure

    def timing(context: Context, settings: Any, planned: Planned) -> Measurement:
        with _spent(spent, step.what):
            return measure(context, settings, planned)

    return replace(step, instrument=replace(step.instrument, measure=timing))


def _print(plan: StudyPlan, spent: Spent) -> None:
    rates = [work.product_rate() for _ in range(3)]
    print(f"{os.cpu_count()} processors, one used: {sorted(rates)[1]:.2g} float32 operations a second")
    print(f"{'stage':<36} {'predicted':>10} {'measured':>10} {'ratio':>6}")
    print(f"{'plan':<36} {'':>10} {spent['plan']:>10.2f}")
    both = {stage: (seconds, spent[stage]) for stage, seconds in plan.seconds.items() if stage in spent}
    # what an analysis encodes for itself alone is made while it measures
    alone = {stage: seconds for stage, seconds in plan.seconds.items() if stage not in spent}
    if alone and "baselines" in both:
        both["baselines"] = (both["baselines"][0] + sum(alone.values()), both["baselines"][1])
    both["in all"] = (sum(a for a, _ in both.values()), sum(b for _, b in both.values()))
    for stage, (predicted, measured) in both.items():
        print(f"{stage:<36} {predicted:>10.2f} {measured:>10.2f} {predicted / max(measured, 1e-9):>6.2f}")


def _print_dry_run(before: ModelSettings, after: ModelSettings, source: DataSettings, folder: Path) -> None:
    """Time the command twice: the second finds the token ids of the first."""
    command = [sys.executable, "-m", "retroscope", "compare", str(before.source), str(after.source), "--dry-run"]
    command += ["--data", source.source, "--out", str(folder / "study"), "--cache", str(folder / "dry")]
    command += ["--split", source.split] if source.split else []
    command += ["--pooling", "mean"] if before.load.pooling else []
    for turn in ("first", "again"):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime
        print(f"compare --dry-run, {turn}: {took:.1f} s of processor time, with the start of Python")


if __name__ == "__main__":
    main()
