"""What part of a gain is left to fine-tuning once the frozen backbone is searched with at its best.

    python benchmarks/audit/baselines.py BACKBONE RETRIEVER --data beir:nq-open-gold [--pooling mean]

Before: the backbone under the retriever's pooling only, so that the whole gain was fine-tuning's. After: the best of
its other poolings and layers, raw or whitened, and of linear heads, each chosen on other queries than it is reported
on; the same of a random-weight copy, and of the retriever.
"""

import argparse
from pathlib import Path

from retroscope.analyses import analyses
from retroscope.analyses.baselines.words import share_left
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.cache import default_cache
from retroscope.inputs.load import collection_of, pair_of
from retroscope.inputs.settings import DataSettings, ModelSettings, StudySettings
from retroscope.number_format import interval, score, signed
from retroscope.study.run import compare
from retroscope.typesetting.frames import rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbone")
    parser.add_argument("retriever")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--pooling")
    parser.add_argument("--similarity")
    parser.add_argument("--measure", default="nDCG@10")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--out", type=Path, help="write the report here")
    given = parser.parse_args()
    load = LoadSettings(pooling=given.pooling, similarity=given.similarity)
    others = [name for name, one in analyses().items() if name != "baselines" and not one.required]
    settings = StudySettings(measures=(given.measure, "R@100"), analyses=dict.fromkeys(others))
    before, after = pair_of(*(ModelSettings(source=name, load=load) for name in (given.backbone, given.retriever)))
    collection = collection_of(DataSettings(source=given.data, split=given.split))
    study = compare(before, after, collection, settings, cache=given.cache)
    found = study.results.get("baselines")
    if found is None:
        raise SystemExit("\n".join(study.facts["caveats"]))
    gain = rows(found.gain, measure=given.measure).iloc[0]
    print(f"{given.measure}: backbone {score(gain['before'])}, retriever {score(gain['after'])}, gain "
          f"{signed(gain['effect'])}\n")  # fmt: skip
    print("| what | before | after |\n|---|---|---|")
    for best in found.bests:
        row = rows(found.left, best=best, measure=given.measure).iloc[0]
        share = found.shares.query("best == @best and measure == @given.measure").iloc[0]
        choice = found.choice("before", best)
        name = f"{choice['pooling']}, layer {choice['layer']}, {choice['vectors']}, {choice['folds']} of {choice['of']}"
        reached = f"{score(row['before'])} {interval(row['before_low'], row['before_high'])} ({name})"
        print(f"| already there, {best} | {score(gain['before'])} | {reached} |")
        print(f"| left to fine-tuning, {best} | 100 % | {share_left(share)} |")
    print()
    for statement in study.report_contents.sections["baselines"].statements:
        print(f"{statement.label}: {statement.text}")
    print("\nseconds:", {name: round(value, 1) for name, value in study.facts["timings"].items()})
    if given.out:
        study.report(given.out)


if __name__ == "__main__":
    main()
