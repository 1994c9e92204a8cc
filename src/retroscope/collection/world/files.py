"""Write a world as ordinary files: a BEIR folder with a split for each stratum, pre-training text, and people."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retroscope.collection.readers.facts.layouts import fact_lines
from retroscope.collection.records import Query
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.world import World, world_facts
from retroscope.errors import CollectionError
from retroscope.files.checksums import MARK
from retroscope.files.locks import LOCK
from retroscope.files.partials import remove_abandoned
from retroscope.files.whole import write_whole

PRETRAINING, NEGATIVES_RUN, FACTS, ABOUT = "pretraining.txt", "negatives.run", "facts.jsonl", "world.json"


def write_world(world: World, folder: Path) -> Path:
    """Write a BEIR folder with qrels of every split, the pre-training text, the people, their facts, and negatives.

    `negatives.run` is a TREC run of `World.negatives`. The files of the same world have the same bytes. An earlier
    world in the folder is replaced.

    Raises:
        CollectionError: if the folder contains files that are not of a world.
    """
    _refuse_other_files(folder)
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder, folder / "qrels")
    (folder / MARK).touch()  # until the last file is there
    _lines(folder / "corpus.jsonl", ({"_id": p.id, "title": p.title, "text": p.text} for p in world.passages))
    asked = {query.id: query for split in world.splits.values() for query, _ in split}
    _lines(folder / "queries.jsonl", map(_query_row, asked.values()))
    for split, pairs in world.splits.items():
        rows = "".join(f"{query.id}\t{relevant}\t1\n" for query, relevant in pairs)
        _text(folder / "qrels" / f"{split}.tsv", f"query-id\tcorpus-id\tscore\n{rows}")
    _text(folder / PRETRAINING, "".join(f"{document}\n" for document in world.pretraining))
    _text(folder / NEGATIVES_RUN, "".join(_run_lines(world)))
    _lines(folder / "people.jsonl", ({**asdict(person), "stratum": person.stratum} for person in world.people))
    _text(folder / FACTS, "".join(fact_lines(facts_of_world(world))))
    _text(folder / ABOUT, json.dumps(world_facts(world), indent=1) + "\n")
    (folder / MARK).unlink()
    return folder


def _query_row(query: Query) -> dict[str, Any]:
    return {"_id": query.id, "text": query.text} | ({"metadata": {"group": query.group}} if query.group else {})


def _refuse_other_files(folder: Path) -> None:
    names = {place.name for place in folder.iterdir()} - {LOCK} if folder.exists() else set()
    if names and not names & {ABOUT, MARK}:
        raise CollectionError(
            f"this folder contains files that do not belong to a controlled world, e.g. {min(names)!r}",
            where=str(folder),
            fix="name a new or empty folder for the controlled world",
        )


def _run_lines(world: World) -> Iterator[str]:
    for query, passages in world.negatives.items():
        for rank, passage in enumerate(passages, start=1):
            yield f"{query} Q0 {passage} {rank} {len(passages) - rank} world\n"


def _lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _text(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def _text(path: Path, content: str) -> None:
    write_whole(path, content.encode())
