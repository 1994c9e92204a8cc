"""A small part of a collection in BEIR format: test queries, their judged passages, and others drawn at random.

    python benchmarks/small_collection.py SCIFACT OUT --passages 1400
    python benchmarks/small_collection.py NQ OUT --queries 600 --passages 800

The first folder is that of the whole collection; OUT becomes a BEIR folder. The same folder gives the same files.
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
    parser.add_argument("whole", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--queries", type=int, help="by default all that are judged")
    parser.add_argument("--passages", type=int, default=1400)
    args = parser.parse_args()
    header, *lines = (args.whole / "qrels/test.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    queries = {row[0] for row in rows}
    if args.queries is not None:
        queries = {*Random(SEED).sample(sorted(queries), args.queries)}
    rows = [row for row in rows if row[0] in queries]
    judged = {row[1] for row in rows}
    passages = list(_records(args.whole / "corpus.jsonl"))
    others = [record["_id"] for record in passages if record["_id"] not in judged]
    kept = judged | {*Random(SEED).sample(others, args.passages - len(judged))}
    (args.out / "qrels").mkdir(parents=True, exist_ok=True)
    (args.out / "qrels/test.tsv").write_text("".join(f"{line}\n" for line in [header, *map("\t".join, rows)]), "utf-8")
    _write(args.out / "corpus.jsonl", (record for record in passages if record["_id"] in kept))
    _write(args.out / "queries.jsonl", (q for q in _records(args.whole / "queries.jsonl") if q["_id"] in queries))
    print(f"{args.out}: {len(kept):,} passages, {len(queries):,} queries, {len(rows):,} judgments")


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _write(file: Path, records: Iterator[dict[str, Any]]) -> None:
    file.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), "utf-8")


if __name__ == "__main__":
    main()
