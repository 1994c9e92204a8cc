"""Hash labels by candidate set and by passage, where every passage is on both sides of the split and where none is.

    python benchmarks/audit/hash_labels.py --model MODEL --data beir:FOLDER --cache FOLDER --queries 300 600 1200 0

Prints the test accuracy of the probes that learn at N=5 (chance .200), and the accuracy in training. The leaking
split divides the choices at random, and tests only those whose passages all occur in training. With fewer queries
(0: all) there are fewer passages; a linear probe learns the hashes of about as many passages as it has weights,
so what a leak reads falls with their number. The interval (95 %) is over queries. The old formula stands here.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from options import probing_options

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.records import Candidates
from retroscope.encoders.loading import load_retriever
from retroscope.probing import controls
from retroscope.probing import settings as probing_settings
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.splits import Choices, Split, disjoint_split
from retroscope.probing.tasks import Task
from retroscope.representations.represent import represent
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.statistics.resampling.outcomes import outcome_mean

PROBES = ("passage_only", "elementwise", "bilinear")
HASHED = "hash_labels"


def main() -> None:
    parser = probing_options(__doc__)
    parser.add_argument("--queries", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    data = load_collection(args.data)
    vectors = represent(load_retriever(args.model), data, args.cache)
    candidates = hard_negatives(data, 100).candidates
    columns = f"{'queries':>8} {'passages':>9} {'split':10}{'labels':10}{'probe':16}{'layer':>6}"
    print(columns + f"{'test':>8} {'interval':15}{'train':>8}")
    for queries in args.queries:
        compare(vectors, among(candidates[: queries or None]), tuple(args.layers))


def among(candidates: Sequence[Candidates]) -> list[Candidates]:
    """Return the choices with only those negatives that are relevant to another of these queries."""
    relevant = {one.positive for one in candidates}
    return [replace(one, negatives=tuple(p for p in one.negatives if p in relevant)) for one in candidates]


def compare(vectors: RetrieverRepresentations, candidates: Sequence[Candidates], layers: tuple[int, ...]) -> None:
    """Print what both hashes read under both splits."""
    settings = ProbeSettings(probes=PROBES, controls=(HASHED,), passages=(5,), seeds=5, layers=layers)
    size = f"{len(candidates):8} {len({p for one in candidates for p in one.negatives}):9} "
    for split, divide in (("disjoint", disjoint_split), ("leaking", leaking_split)):
        for name, labels in (("set", by_set), ("passage", controls.hash_labels)):
            default = probing_settings.PROTOCOLS["default"]
            probing_settings.PROTOCOLS["default"] = replace(default, split=divide)
            controls.CONTROLS[HASHED] = controls.Control(labels=labels)
            probed = probe(vectors, candidates, settings)
            for one in PROBES:
                for layer in layers:
                    at = {"probe": one, "control": HASHED, "passages": 5, "layer": layer}
                    train = float(probed.fits["train_accuracy"].sel(at).mean())
                    right = outcome_mean(probed.scores.values.sel(at).values[:, None])
                    test = f"{right.mean[0]:8.3f} [{right.low[0]:.3f}, {right.high[0]:.3f}] "
                    print(size + f"{split:10}{name:10}{one:16}{layer:6}{test}{train:8.3f}")


def by_set(choices: Choices, sizes: tuple[int, ...], seed: int) -> controls.Targets:
    """The control as it was: a hash of the whole candidate set, which is new in the test whatever leaks."""
    return np.array([[_of_set(row[:size], seed) for row in choices.passages] for size in sizes])


def _of_set(members: np.ndarray, seed: int) -> int:
    order = np.argsort(members)
    digest = blake2b(members[order].tobytes(), digest_size=8, salt=seed.to_bytes(16, "big")).digest()
    return int(order[int.from_bytes(digest, "big") % len(members)])


def leaking_split(task: Task, seed: int) -> Split:
    """Every passage of the test occurs in training: the choices of the task, divided at random."""
    order = np.random.default_rng(seed).permutation(len(task.query))
    train, validation, test = np.split(order, [len(order) * 6 // 10, len(order) * 8 // 10])
    known = np.isin(task.passages[:, : task.size], task.passages[train, : task.size]).all(axis=1)
    parts = (train, validation[known[validation]], test[known[test]])
    return Split(seed, *(Choices(task.query[rows], task.passages[rows, : task.size]) for rows in parts))


if __name__ == "__main__":
    main()
