"""Write TREC run files, so that other tools can compute measures from our rankings, and parse them again."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retroscope.collection.records import Run
from retroscope.errors import AnalysisError, listed
from retroscope.files.whole import whole_file


def write_run(run: Run, path: Path, tag: str) -> None:
    """Write a run as lines `qid Q0 docid rank score tag`, with all digits of float32 scores.

    The file is written completely or not at all.

    Args:
        tag: name of the run; spaces become hyphens.

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
    """Parse the content of a run file that `write_run` wrote; the order of the lines is kept.

    Queries without hits have no lines, so they are missing.
    """
    run: dict[str, list[tuple[str, float]]] = {}
    for line in content.decode().splitlines():
        query_id, _, passage_id, _, score, _ = line.split()
        run.setdefault(query_id, []).append((passage_id, float(score)))
    return run


def first_relevant_ranks(run: Run, qrels: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return, for every query of the run, the rank of its first relevant passage, or 0 if none is ranked."""
    return {
        query_id: next((rank for rank, (p, _) in enumerate(hits, 1) if qrels.get(query_id, {}).get(p, 0) > 0), 0)
        for query_id, hits in run.items()
    }
