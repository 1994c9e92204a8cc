"""A small SciFact for the other benchmarks: the test queries, their judged passages, and others up to 1,400.

    python benchmarks/small_scifact.py SCIFACT OUT

SCIFACT is the folder of the BEIR data set; OUT becomes a BEIR folder. The same folder gives the same files.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scifact", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--passages", type=int, default=1400)
    args = parser.parse_args()
    qrels = (args.scifact / "qrels/test.tsv").read_text("utf-8")
    pairs = [line.split("\t")[:2] for line in qrels.splitlines()[1:]]
    queries, judged = {query for query, _ in pairs}, {passage for _, passage in pairs}
    passages = list(_records(args.scifact / "corpus.jsonl"))
    others = [record["_id"] for record in passages if record["_id"] not in judged]
    kept = judged | {*Random(SEED).sample(others, args.passages - len(judged))}
    (args.out / "qrels").mkdir(parents=True, exist_ok=True)
    (args.out / "qrels/test.tsv").write_text(qrels, "utf-8")
    _write(args.out / "corpus.jsonl", (record for record in passages if record["_id"] in kept))
    _write(args.out / "queries.jsonl", (q for q in _records(args.scifact / "queries.jsonl") if q["_id"] in queries))
    print(f"{args.out}: {len(kept):,} passages, {len(queries):,} queries, {len(pairs):,} judgments")


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _write(file: Path, records: Iterator[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), "utf-8")


if __name__ == "__main__":
    main()
