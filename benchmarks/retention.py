"""Facts of the controlled world, read from the shipped pair before and after fine-tuning: the numbers of one page.

    python benchmarks/retention.py --out runs/retention      # about a minute
    python benchmarks/retention.py --out runs/retention --backbone B --retriever R --facts FILE --text TEXT   # your own

Printed, as Markdown: P@1 of facts by stratum and read-out, what is kept and gained, the controls, and known x found.
"""

import argparse
from pathlib import Path

from retroscope.analyses import analyses
from retroscope.analyses.retention.infer import infer
from retroscope.analyses.retention.result import RetentionResult
from retroscope.analyses.retention.settings import RetentionSettings
from retroscope.analyses.section import Reading
from retroscope.display import progress_bars
from retroscope.inputs.load import collection_of, pair_of
from retroscope.inputs.settings import DataSettings, ModelSettings, StudySettings
from retroscope.study.demo import LOAD, shipped, write_demo_world
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import run_study
from retroscope.study.study import Study


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone")
    parser.add_argument("--retriever")
    parser.add_argument("--facts")
    parser.add_argument("--text")
    parser.add_argument("--data")
    parser.add_argument("--per-relation", type=int, default=500)
    chosen = parser.parse_args()
    world = write_demo_world(chosen.out / "world")
    facts = chosen.facts or str(world / "facts.jsonl")
    settings = RetentionSettings(facts=facts, text=chosen.text, per_relation=chosen.per_relation)
    data = DataSettings(source=chosen.data or f"beir:{world}")
    study = measure(chosen.backbone, chosen.retriever, settings, data, chosen.out / "cache")
    found = infer(study.measured["retention"], Reading(study.subject))
    if found is not None:
        show(found)


def measure(
    backbone: str | None, retriever: str | None, retention: RetentionSettings, data: DataSettings, cache: Path
) -> Study:
    """Run the one analysis."""
    before = ModelSettings(source=backbone or str(shipped().backbone), load=LOAD)
    after = ModelSettings(source=retriever or str(shipped().retriever), load=LOAD)
    left_out = {name: None for name, one in analyses().items() if not one.required}
    settings = StudySettings(before=before, after=after, data=data, analyses={**left_out, "retention": retention})
    models = dict(zip(("before", "after"), pair_of(before, after), strict=True))
    with progress_bars() as progress:
        plan = plan_study(models, (collection_of(data),), settings, cache=cache, progress=progress)
        return run_study(plan, progress)


def show(found: RetentionResult) -> None:
    """Print every table."""
    if not found.strata.empty:
        show_strata(found)
    print("\n| retained | " + " | ".join(found.readouts) + " |\n|---|" + "---|" * len(found.readouts))
    for stratum in dict.fromkeys(name for _, name in found.retained):
        for name in ("kept", "gained"):
            cells = [getattr(found.retained[readout, stratum], name) for readout in found.readouts]
            told = " | ".join(f"{shown(c.value, c.low, c.high)} of {c.n}" for c in cells)
            print(f"| {stratum or 'all'}, {name} | {told} |")
    print("\n| control | side | read-out | P@1 | most frequent object |\n|---|---|---|---|---|")
    for c in found.controls:
        print(f"| {c.name} | {c.side} | {c.readout} | {shown(c.value, c.low, c.high)} | {c.most_frequent:.3f} |")
    print("\n| facts | searched by | known | found, known | found, others | odds ratio | within strata |")
    print("|---|---|---|---|---|---|---|")
    for a in found.associations:
        odds = [f"{o.value:.1f} [{o.low:.1f}, {o.high:.1f}]" for o in (a.crude, a.within)]
        known = f"{a.n_known} of {a.crude.n} | {a.known:.3f} | {a.unknown:.3f}"
        print(f"| {a.stratum or 'all'} | {a.side} | {known} | {' | '.join(odds)} |")
    print("\n" + found.losses.pivot(index="layer", columns="side", values="loss").round(3).to_string())
    print("\n" + found.consistency.to_string(index=False))
    table = found.effect.to_frame().query("measure == 'P@1'")
    print("\n" + table[["layer", "readout", "before", "after"]].round(3).to_string(index=False))


def show_strata(found: RetentionResult) -> None:
    """Print P@1 by stratum, side and read-out."""
    frame = found.strata
    print("| P@1 of facts | " + " | ".join(f"{s}, {r}" for s, r in columns(found)) + " |")
    print("|---|" + "---|" * len(columns(found)))
    for stratum, rows in frame.groupby("stratum", sort=False):
        cells = [rows[(rows["side"] == s) & (rows["readout"] == r)].iloc[0] for s, r in columns(found)]
        numbers = [shown(*cell[["mean", "ci_low", "ci_high"]]) for cell in cells]
        print(f"| {stratum} ({int(cells[0]['n'])}) | {' | '.join(numbers)} |")


def columns(found: RetentionResult) -> list[tuple[str, str]]:
    """Return side and read-out of every column."""
    pairs = found.strata[["side", "readout"]].drop_duplicates()
    return [(str(one.side), str(one.readout)) for one in pairs.itertuples()]


def shown(value: float, low: float, high: float) -> str:
    """Print a number with its interval."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
