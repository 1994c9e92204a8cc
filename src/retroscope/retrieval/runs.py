"""Read and write TREC run files, so that other tools can check our measures."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retroscope.collection.records import Run
from retroscope.errors import AnalysisError, listed
from retroscope.files.whole import whole_file


def write_run(run: Run, path: Path, tag: str) -> None:
    """Write a run as lines `qid Q0 docid rank score tag`, completely or not at all, with all digits of float32 scores.

    Raises:
        AnalysisError: if an id contains white space, which the format cannot represent.
    """
    split = [i for q, hits in run.items() for i in (q, *(d for d, _ in hits)) if i.split() != [i]]
    if split:
        raise AnalysisError(
            f"these ids contain white space, which a TREC run file cannot represent:{listed(sorted(set(split)))}",
            where=str(path),
            fix="rename these ids in the collection",
        )
    word = "-".join(tag.split()) or "retroscope"
    with whole_file(path) as file:
        for query_id, hits in run.items():
            for rank, (passage_id, score) in enumerate(hits, start=1):
                file.write(f"{query_id} Q0 {passage_id} {rank} {np.float32(score)!s} {word}\n".encode())


def run_of(content: bytes) -> Run:
    """Parse a run file that `write_run` wrote, in its order. Queries without hits are missing."""
    run: dict[str, list[tuple[str, float]]] = {}
    for line in content.decode().splitlines():
        query_id, _, passage_id, _, score, _ = line.split()
        run.setdefault(query_id, []).append((passage_id, float(score)))
    return run


def first_relevant_ranks(run: Run, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the rank of the first relevant passage of every query, or 0 if the ranking has none."""
    return {
        query_id: next((rank for rank, (p, _) in enumerate(hits, 1) if qrels.get(query_id, {}).get(p, 0) > 0), 0)
        for query_id, hits in run.items()
    }
