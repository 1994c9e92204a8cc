r"""Are the numbers of two versions the same? Runs the same commands with both and compares every value.

    python benchmarks/same_numbers.py take OUT --names rooms --retroscope VENV/bin/retroscope --backbone A \
        --retriever B --data SPEC
    python benchmarks/same_numbers.py diff OLD NEW [--renames benchmarks/renames.txt]

`take` runs the demo, a comparison by both protocols and a training grid on the demo's world; settings are fixed.
`diff` reads every number, label and array of scores, tables and JSON, gives the old names their new ones (see
renames.txt), and lists what differs; its status is 1 if anything does. Times, versions, paths and command lines are
left out. Of the sentences of verdict and caveats the numbers are compared: their words and their order changed.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

# What two runs of one version may differ in, and sentences that say which software made a number.
LEFT_OUT = re.compile(
    r"/(timings|versions|command|machine|created|seconds|out|cache|source|path|run|proof|schema|key|checksum|train_runtime|train_\w+_per_second)(/|$)"
)
SENTENCES = re.compile(r"/(verdict|unconfirmed|caveats|warnings|notes|statements)(/|\.parquet/|$)")
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e-?\d+)?")
GONE = "(gone)"
SHOWN = 400
SMALL = {  # the same settings by the names of either version
    "rooms": shlex.split(
        "--set ablation.passages=100 --set ablation.draws=2 --set ablation.fractions=[0.01,0.1] --set neurons.limit=8 "
        "--set transplants.passages=100 --set transplants.draws=2 --set transplants.groups=3 --set probing.seeds=2 "
        "--limit-queries 200"
    ),
    "analyses": shlex.split(
        "--set neurons.ablation.passages=100 --set neurons.ablation.draws=2 "
        "--set neurons.ablation.fractions=[0.01,0.1] --set neurons.attribution.limit=8 "
        "--set transplants.passages=100 --set transplants.draws=2 --set transplants.groups=3 --set probes.seeds=2 "
        "--limit-queries 200"
    ),
}
GRID = shlex.split(
    "--reinitialise none,all --labels 20,40 --seeds 0,1 --pooling mean --steps 4 --batch-size 8 --test test"
)


def main() -> int:
    """Take the numbers of a version, or compare those of two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    taking = commands.add_parser("take")
    taking.add_argument("out", type=Path)
    taking.add_argument("--names", choices=SMALL, required=True, help="how the version calls its settings")
    for name in ("retroscope", "backbone", "retriever", "data"):
        taking.add_argument(f"--{name}", required=True)
    comparing = commands.add_parser("diff")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--renames", type=Path)
    args = parser.parse_args()
    if args.what == "take":
        return take(args)
    return differences(args.old, args.new, read_renames(args.renames))


def take(args: argparse.Namespace) -> int:
    """Run every command; a folder that is there already is kept, so that a stopped run goes on."""
    pair = [args.backbone, args.retriever, "--pooling", "mean", "--data", args.data, *SMALL[args.names]]
    world = args.out / "demo" / "world"
    commands = {
        "demo": ["demo"],
        "default": ["compare", *pair],
        "published": ["compare", *pair, "--protocol", "ielab-2025"],
        "grid": ["ablate", args.backbone, "--data", f"beir:{world}", *GRID],
    }
    for name, words in commands.items():
        out = args.out / name
        if (out / "done").exists():
            continue
        print(f"{name}: {' '.join(words)}", flush=True)
        subprocess.run([args.retroscope, *words, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
        (out / "done").touch()
    return 0


def differences(old: Path, new: Path, table: Renames) -> int:
    """Print every value that differs; return 1 if there is any."""
    first, after = dict(values(old)), dict(values(new))
    before: dict[str, Any] = {}
    for key, value in first.items():
        name = table.renamed(key)
        if name is None:
            continue
        if name in before:
            raise SystemExit(f"the renames give two values the name {name}")
        before[name] = table.labelled(value)
    lost = sorted(before.keys() - after.keys())
    added = sorted(key for key in after.keys() - before.keys() if not table.is_new(key))
    moved = sorted(key for key in before.keys() & after.keys() if not same(before[key], after[key]))
    for what, keys in (("only in the old", lost), ("only in the new", added)):
        print(*(f"{what}: {key}" for key in keys[:SHOWN]), f"{what}: {len(keys)}", sep="\n")
    for key in moved[:SHOWN]:
        print(f"differs: {key}: {shown(before[key])} | {shown(after[key])}")
    both = before.keys() & after.keys()
    numbers = sum(np.asarray(before[key]).size for key in both)
    print(f"{len(both)} values ({numbers} numbers and labels) in both; {len(moved)} differ")
    return 1 if lost or added or moved else 0


def values(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield name and value of every number, word and array under a folder of `take`."""
    for file in sorted(folder.rglob("*")):
        where = file.relative_to(folder).as_posix()
        if ".zarr/" in where:
            continue
        if file.suffix == ".json":
            yield from kept(where, in_order(json.loads(file.read_text(encoding="utf-8"))))
        elif file.suffix == ".parquet":
            frame = pd.read_parquet(file)
            yield from kept(where, {name: frame[name].to_numpy() for name in frame})
        elif file.suffix == ".zarr":
            yield from kept(where, arrays(zarr.open_group(file, mode="r")))


def arrays(group: zarr.Group) -> dict[str, Any]:
    """Return the arrays of a group, and of the groups in it, by name."""
    by_name: dict[str, Any] = {name: array[...] for name, array in group.arrays()}
    return by_name | {name: arrays(inner) for name, inner in group.groups()}


def in_order(document: Any) -> Any:
    """Return a document whose lists of sentences are replaced by the numbers in them, sorted."""
    if not isinstance(document, dict):
        return document
    return {
        name: numbers_of(value) if SENTENCES.search(f"/{name}") and isinstance(value, list) else in_order(value)
        for name, value in document.items()
    }


def numbers_of(sentences: list[Any]) -> dict[str, Any]:
    """Return every number of some sentences, sorted."""
    texts = [one["text"] if isinstance(one, dict) else str(one) for one in sentences]
    return {"numbers": np.sort(np.array([float(n.replace(",", "")) for t in texts for n in NUMBER.findall(t)]))}


def kept(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is under a name, but for what may differ between two runs."""
    if LEFT_OUT.search(name) or "/tables/verdict.parquet" in name:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from kept(f"{name}/{key}", inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from kept(f"{name}/{place}", inner)
    else:
        yield name, value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal to the last bit; NaN equals NaN."""
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape:
        return False
    if first.dtype.kind == "f" and second.dtype.kind == "f":
        return bool(np.array_equal(first, second, equal_nan=True))
    return [str(one) for one in first.ravel()] == [str(one) for one in second.ravel()]


@dataclass(frozen=True)
class Renames:
    """The table of renames: names of values, labels inside them, and what only the newer version writes."""

    names: tuple[tuple[re.Pattern[str], str], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    new: tuple[re.Pattern[str], ...] = ()

    def renamed(self, key: str) -> str | None:
        """Return a name of the old version as the new one calls it; None for a value that is gone."""
        for old, new in self.names:
            if old.search(key):
                if new == GONE:
                    return None
                key = old.sub(new, key)
        return key

    def labelled(self, value: Any) -> Any:
        """Return a value with its labels renamed."""
        if isinstance(value, str):
            return self._labelled(value)
        if isinstance(value, np.ndarray) and value.dtype.kind in "OTU":
            return np.array([self._labelled(str(one)) for one in value.ravel()]).reshape(value.shape)
        return value

    def _labelled(self, text: str) -> str:
        for old, new in self.labels.items():
            text = re.sub(rf"\b{old}\b", new, text)
        return text

    def is_new(self, key: str) -> bool:
        """Return whether only the newer version writes a value of this name."""
        return any(pattern.search(key) for pattern in self.new)


def read_renames(file: Path | None) -> Renames:
    """Read the table of renames."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()] if file else []
    lines = [line for line in lines if line and not line.startswith("#")]
    pairs = [line.split(" -> ") for line in lines if " -> " in line and not line.startswith("= ")]
    return Renames(
        tuple((re.compile(old), new) for old, new in pairs),
        dict(line[2:].split(" -> ", 1) for line in lines if line.startswith("= ")),
        tuple(re.compile(line[2:]) for line in lines if line.startswith("+ ")),
    )


def shown(value: Any) -> str:
    """Return a value in short."""
    text = repr(value).replace("\n", " ")
    return text if len(text) < 80 else f"{text[:77]}..."


if __name__ == "__main__":
    sys.exit(main())
