"""What do transplants cost and decide? Processor time, half-widths and named places of one pair and collection.

    python benchmarks/transplants.py --before BACKBONE --after RETRIEVER --data SPEC [--set passages=1000]

To compare two versions of the code, run it once with each (PYTHONPATH). Vectors of both intact models are made first
and not counted. One thread: seconds are of the processor, for a core.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch

from retroscope.analyses.context import Context
from retroscope.analyses.transplants.infer import effects_of, scores_of
from retroscope.analyses.transplants.measure import INSTRUMENT
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import StudySettings


def main() -> None:
    """Measure and print."""
    args = _arguments()
    torch.set_num_threads(1)
    pair = [load_retriever(name, pooling=args.pooling) for name in (args.before, args.after)]
    given: dict[str, str] = dict(one.split("=") for one in args.set)
    values: dict[str, Any] = {name: int(value) if value.isdecimal() else value for name, value in given.items()}
    settings = SweepSettings(measures=(args.measure,), **values)
    with TemporaryDirectory() as cache:
        models = dict(zip(("before", "after"), pair, strict=True))
        context = Context(models, load_collection(args.data), StudySettings(), Path(cache))
        context.whole_search((args.measure,))
        planned = INSTRUMENT.plan(context, settings)
        start = process_time()
        measurement = INSTRUMENT.measure(context, settings, planned)
    print(f"{process_time() - start:,.0f} s of one core; {dict(measurement.seconds)}")
    print("\n".join(measurement.caveats))
    depth, statistics = pair[1].passage.anatomy.n_blocks, context.settings.statistics
    effects = effects_of(scores_of(measurement), context.collection.name, depth, statistics)
    shown = ["transplant", "intact", "effect", "half_width", "p_corrected", "draws", "p_control", "beats"]
    for direction in effects.differences:
        rows = effects.headline(direction)
        rows = rows.assign(half_width=(rows["ci_high"] - rows["ci_low"]) / 2)
        control = effects.controls[effects.controls["direction"] == direction].rename(
            columns={"p_corrected": "p_control"}
        )
        rows = rows.merge(control[["transplant", "draws", "p_control", "beats"]], "left", "transplant")
        print(f"\n{direction}\n{rows[shown].round(5).to_string(index=False)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pooling")
    parser.add_argument("--measure", default="RR@10")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the sweep's settings")
    return parser.parse_args()


if __name__ == "__main__":
    main()
