"""Which attention heads carry retrieval, and what patched activations recover: the numbers of docs/methods/heads.md.

    python benchmarks/heads.py
    python benchmarks/heads.py --pair BACKBONE RETRIEVER --data SPEC --queries 120 --passages 400

Without a pair: the shipped pair on its world's held-out questions about known people. The statements of both analyses
are printed, with their times. CACHE keeps what a stopped run goes on from.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import torch

from retroscope.analyses import analyses
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.analyses.patching.settings import PatchingSettings
from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.pairing import compared_like
from retroscope.inputs.sampled import sampled
from retroscope.inputs.settings import NegativesSettings, StudySettings
from retroscope.study.demo import shipped, write_demo_world
from retroscope.study.run import compare

SPLIT = "known-held-out"
ASKED = {"heads": HeadSettings(), "patching": PatchingSettings()}


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as home:
        if args.pair:
            folders, options, data = args.pair, {"pooling": "mean"}, args.data
        else:
            models = shipped()
            folders, options = [models.backbone, models.retriever], {"pooling": "mean", "max_length": 64}
            data = f"beir:{write_demo_world(Path(home) / 'world')}"
        before, after = (load_retriever(folder, **options) for folder in folders)
        collection = _cut(load_collection(data, **({} if args.pair else {"split": SPLIT})), args)
        asked = {name: ASKED[name] for name in args.only.split(",")}
        others = dict.fromkeys(name for name, one in analyses().items() if not one.required)
        negatives = (
            StudySettings().negatives if args.pair else NegativesSettings(how="run", run=f"{home}/world/negatives.run")
        )
        settings = StudySettings(analyses={**others, **asked}, negatives=negatives)
        start = perf_counter()
        study = compare(compared_like(before, after), after, collection, settings, cache=args.cache or home)
    print(f"{before.name} and {after.name} on {collection.name}: {len(collection.judged_queries)} queries, "
          f"{len(collection.passages)} passages, {perf_counter() - start:.0f} s")  # fmt: skip
    for name in asked:
        measured = study.measured[name][0]
        print(f"\n{name}: {sum(measured.seconds.values()):.0f} s")
        section = study.report_contents.sections[name]
        for statement in section.statements:
            print(f"  [{statement.state}] {statement.text}")
        for caveat in measured.caveats:
            print(f"  ({caveat})")


def _cut(collection: Collection, args: argparse.Namespace) -> Collection:
    queries = collection.judged_queries[: args.queries] if args.queries else collection.judged_queries
    return sampled(collection, queries, args.passages, 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=2)
    parser.add_argument("--data")
    parser.add_argument("--queries", type=int, default=0)
    parser.add_argument("--passages", type=int, default=0)
    parser.add_argument("--only", default="heads,patching")
    parser.add_argument("--cache")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
