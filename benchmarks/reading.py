"""What the checksums of a study cost when it is read.

    python benchmarks/reading.py runs/demo --repeats 7

Reads every measurement of a study with its checks, and without them straight from the files, in turns; prints the
median of the ratios. Times are processor time on one thread, of files that the system holds in memory.
"""

import argparse
from pathlib import Path
from statistics import median
from time import process_time

import pandas as pd

from retroscope.analyses.measurement import DATASETS, SCORES, load_measurement
from retroscope.scores import dataset_in, load_scores


def main() -> None:
    """Time both and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.study.glob("measured/*/*/measurement.json"))
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    print(f"{len(folders)} measurements, {len(files)} files, {sum(f.stat().st_size for f in files) / 2**20:.1f} MiB")
    names = {folder: load_measurement(folder) for folder in folders}
    times = []
    for _ in range(args.repeats):
        started = process_time()
        for folder in folders:
            load_measurement(folder)
        checked = process_time()
        for folder, one in names.items():
            unchecked(folder, one.scores, one.frames, one.datasets)
        times.append((checked - started, process_time() - checked))
    ratio = median(checked / plain for checked, plain in times)
    print(
        f"checked {median(t for t, _ in times):.2f} s, unchecked {median(t for _, t in times):.2f} s, ratio {ratio:.2f}"
    )


def unchecked(folder: Path, scores: object, frames: object, datasets: object) -> None:
    """Read a measurement as the libraries read files."""
    for name in scores:
        load_scores(folder / SCORES, name)
    for name in frames:
        pd.read_parquet(folder / f"{name}.parquet")
    for name in datasets:
        dataset_in(str(folder / DATASETS), name)


if __name__ == "__main__":
    main()
