"""How similar are texts that have nothing in common, before and after fine-tuning? What the doctor warns of.

    python benchmarks/audit/unrelated.py --before BACKBONE --after RETRIEVER --data beir:PATH --cache FOLDER

Prints the mean cosine of the doctor's twelve unrelated sentences, and of pairs of passages drawn at random.
"""

import argparse
from pathlib import Path

import numpy as np

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.encoders.checks.unrelated import RISE, unrelated_cosines
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.representations.represent import represent

PAIRS = 10_000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--after", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    collection = load_collection(args.data)
    models = [load_retriever(name) for name in (args.before, args.after)]
    passages = [mean_of_pairs(model, args.cache, collection) for model in models]
    sentences = [float(unrelated_cosines(model.passage).mean()) for model in models]
    print("mean cosine of | before | after")
    print(f"66 pairs of unrelated sentences | {sentences[0]:.3f} | {sentences[1]:.3f}")
    print(f"{PAIRS:,} pairs of passages of {collection.name} | {passages[0]:.3f} | {passages[1]:.3f}")
    print(f"the doctor warns of a rise of the first by more than {RISE:g}: {sentences[1] - sentences[0] > RISE}")


def mean_of_pairs(model: Retriever, cache: Path, collection: Collection) -> float:
    """Return the mean cosine of random pairs of different passages."""
    vectors = np.asarray(represent(model, collection, cache).passage.final(), dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.choice(len(vectors), 2, replace=False) for _ in range(PAIRS)])
    return float((vectors[rows[:, 0]] * vectors[rows[:, 1]]).sum(1).mean())


if __name__ == "__main__":
    main()
