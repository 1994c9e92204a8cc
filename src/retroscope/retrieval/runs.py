"""TREC run files: what was retrieved, so that any other tool can check our measures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from retroscope.errors import AnalysisError, listed

Run = Mapping[str, Sequence[tuple[str, float]]]  # query id -> (passage id, score), best first


def write_run(run: Run, path: Path, tag: str) -> None:
    """Write `qid Q0 docid rank score tag` lines, atomically; scores with every float32 digit.

    Raises:
        AnalysisError: if an id holds white space, which the format cannot carry.
    """
    split = [i for q, hits in run.items() for i in (q, *(d for d, _ in hits)) if i.split() != [i]]
    if split:
        raise AnalysisError(
            f"these ids hold white space, which a TREC run file cannot carry:{listed(sorted(set(split)))}",
            where=str(path),
            fix="rename them in the collection",
        )
    word = "-".join(tag.split()) or "retroscope"
    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8") as out:
        for query_id, hits in run.items():
            for rank, (passage_id, score) in enumerate(hits, start=1):
                out.write(f"{query_id} Q0 {passage_id} {rank} {np.float32(score)!s} {word}\n")
    os.replace(partial, path)
