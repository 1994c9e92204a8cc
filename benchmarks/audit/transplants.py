"""What single shares add up to, what agrees by luck, and what a random change of equal size does.

    python benchmarks/audit/transplants.py --before BACKBONE --after RETRIEVER --data beir:FOLDER [--pooling mean]

Without models: the probability that instruments agree by luck. With them, before and after: the sum of the single
blocks' shares of the whole effect (a number; with its interval, and Shapley values that add up to 1), and which blocks
are claimed (by queries alone; against random changes of equal size, too).
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from retroscope.analyses.context import Context
from retroscope.analyses.transplants.infer import effects_of, scores_of
from retroscope.analyses.transplants.measure import INSTRUMENT
from retroscope.analyses.transplants.result import SUM, TransplantEffects
from retroscope.analyses.transplants.settings import MOST_GROUPS, SweepSettings
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.testing.luck import chance_of_agreeing

MEASURE = "RR@10"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before")
    parser.add_argument("--after")
    parser.add_argument("--data")
    parser.add_argument("--pooling")
    parser.add_argument("--passages", type=int, default=1000)
    chosen = parser.parse_args()
    rows = luck()
    if chosen.before and chosen.after and chosen.data:
        rows += measured(chosen)
    print(pd.DataFrame(rows, columns=["what", "before", "after"]).to_string(index=False))


def luck() -> list[tuple[str, str, str]]:
    """Five instruments and five blocks: simulated, and as it is stated now."""
    rng = np.random.default_rng(0)
    agree = (rng.integers(0, 5, (100_000, 5)) == rng.integers(0, 5, (100_000, 1))).any(axis=1).mean()
    stated = f"{chance_of_agreeing(5, 5):.2f}, stated beside the verdict"
    return [("one of 5 instruments agrees by luck (5 blocks)", f"{agree:.2f} (simulated), not stated", stated)]


def measured(chosen: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Shares and claims of a real pair."""
    pair = [load_retriever(name, pooling=chosen.pooling) for name in (chosen.before, chosen.after)]
    sweep = SweepSettings(measures=(MEASURE,), shares=(), passages=chosen.passages, interactions=MOST_GROUPS)
    with TemporaryDirectory() as cache:
        models = dict(zip(("before", "after"), pair, strict=True))
        context = Context(models, load_collection(chosen.data), StudySettings(), Path(cache))
        if reason := INSTRUMENT.refusal(context, sweep):
            raise SystemExit(reason)
        measurement = INSTRUMENT.measure(context, sweep, INSTRUMENT.plan(context, sweep))
    for caveat in measurement.caveats:
        print(f"  {caveat}")
    depth, statistics = pair[1].passage.anatomy.n_blocks, context.settings.statistics
    effects = effects_of(scores_of(measurement), context.collection.name, depth, statistics)
    return [row for direction in effects.differences for row in of_direction(effects, direction)]


def of_direction(found: TransplantEffects, direction: str) -> list[tuple[str, str, str]]:
    """Shares and claims of one direction."""
    blocks = found.headline(direction, "block").set_index("transplant")
    whole = float(found.headline(direction, "all")["effect"].iloc[0])
    share = found.share(direction, SUM)
    rows = [
        (
            f"{direction}: single shares of all blocks together",
            f"{blocks['effect'].sum() / whole:.0%}",
            f"{share['share']:.2f} [{share['share_low']:.2f}, {share['share_high']:.2f}]",
        )
    ]
    if direction in found.interactions:
        shapley = found.interactions[direction].shapley
        said = "; ".join(f"{r['group']} {r['share']:.2f}" for _, r in shapley.iterrows())
        rows.append((f"{direction}: Shapley shares", "none", f"{said}; sum {shapley['share'].sum():.2f}"))
        pairs = found.interactions[direction].pairs
        many = f"{int((pairs['p_corrected'] < 0.05).sum())} of {len(pairs)} significant"
        rows.append((f"{direction}: interactions of pairs", "none", many))
    significant = blocks.index[blocks["p_corrected"] < 0.05]
    beats = [name for name in significant if found.beats_random(direction, name)]
    rows.append((f"{direction}: blocks claimed", ", ".join(significant) or "none", ", ".join(beats) or "none"))
    for name in significant:
        row = found.control(direction, name)
        if row is not None:
            ends = f"[{row['random_lowest']:+.3f}, {row['random_highest']:+.3f}]"
            said = f"{row['random']:+.3f} {ends}, p {row['p_corrected']:.3g}"
            rows.append(
                (f"{direction}: {name}, random change of equal size", f"{row['effect']:+.3f} (no control)", said)
            )
    return rows


if __name__ == "__main__":
    main()
