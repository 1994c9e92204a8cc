"""Training: the first loss by similarity and temperature, and in-batch negatives that are judged relevant.

python benchmarks/audit/training.py --model /path/to/stories260K --data beir:/path/to/policyqa/dev
"""

import argparse
import tempfile
from pathlib import Path

import torch

from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.loading import load_retriever
from retroscope.training.contrastive import info_nce
from retroscope.training.model import build_model, find_base
from retroscope.training.pairs import Pairs, training_pairs
from retroscope.training.settings import TrainingSettings


def first_loss(model: str, pairs: Pairs, similarity: str, temperature: float | None) -> float:
    """The loss of the first 32 pairs before any step."""
    backbone = load_retriever(model, pooling="mean", similarity=similarity, max_length=64)
    settings = TrainingSettings(temperature=temperature)
    with tempfile.TemporaryDirectory() as folder:
        base = find_base(backbone, model, Path(folder), settings, altered=False)
        built = build_model(backbone, base, settings).eval()
        texts = (pairs.queries[:32], pairs.positives[:32])
        features = [built.preprocess(list(column)) for column in texts]
        with torch.no_grad():
            return float(info_nce(built, settings)(features, torch.arange(32)))


def shared_passages(topics: int = 60, each: int = 3) -> Pairs:
    """A collection in which passages are shared: two queries a topic, three relevant passages each, one in common.

    Every third topic has its shared passage; 2 x 3 x 60 = 360 rows.
    """
    passages, queries, judgments = [], [], []
    for t in range(topics):
        common = t % 3 == 0
        for q in range(2):
            queries.append(Query(f"q{t}.{q}", f"question {t} {q}"))
            for k in range(each):
                shared = common and k == 0
                key = f"p{t}.{'s' if shared else q}.{k}"
                passages.append(Passage(key, f"passage {key}"))
                judgments.append(Judgment(queries[-1].id, key))
    distinct = {p.id: p for p in passages}
    return training_pairs(make_collection("shared", distinct.values(), queries, judgments))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    given = parser.parse_args()
    pairs = training_pairs(load_collection(given.data))
    print(f"{'what':<58}{'before':>10}{'after':>10}")
    for similarity in ("dot", "cosine"):
        before = first_loss(given.model, pairs, similarity, 0.05)
        after = first_loss(given.model, pairs, similarity, None)
        print(f"{f'first loss by {similarity} (ln 32 = 3.47)':<58}{before:>10.2f}{after:>10.2f}")
    for name, made in (("made-up, shared passages", shared_passages()), (given.data.split("/")[-2], pairs)):
        rows = made.relevance.rows_with_false_negatives if made.relevance else 0
        print(f"{f'rows with false negatives, {name} ({len(made)} rows)':<58}{rows:>10}{0:>10}")


if __name__ == "__main__":
    main()
