"""Collections and models of benchmarks/domains.py: seeded samples as BEIR folders, and two fine-tunings."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from retroscope.collection.records import folded
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.study.training.fine_tuning import TrainStudySettings, prepare_training, run_training
from retroscope.training.settings import TrainingSettings

SEED, QUERIES, PASSAGES, MAX_LENGTH = 0, 300, 300, 96
TRAINED_LENGTH = 64  # tokens of a text in training: two cores must do
TRAINING = TrainingSettings(batch_size=32, steps=40, learning_rate=5e-5, seed=0)
# name -> folder below --data, split of its judgments
SOURCES: Mapping[str, tuple[str, str]] = {
    "nq": ("nq-open-gold", "test"),
    "scifact": ("scifact", "test"),
    "pubmedqa": ("pubmedqa-l", "test"),
    "policyqa": ("policyqa/dev", "test"),
    "xquad-en": ("xquad/en", "test"),
    "xquad-de": ("xquad/de", "test"),
    "xquad-zh": ("xquad/zh", "test"),
    "xquad-ar": ("xquad/ar", "test"),
}
BACKBONE_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
)  # fmt: skip
SQUAD = "squad1-train5pct-tokenised"
LOAD = LoadSettings(max_length=MAX_LENGTH)
PLAIN = LoadSettings(max_length=TRAINED_LENGTH, pooling="mean", similarity="cosine")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Beir:
    """A BEIR folder in memory: records by id, and judged pairs by split."""

    passages: Mapping[str, dict[str, Any]]
    queries: Mapping[str, dict[str, Any]]
    pairs: Mapping[str, Sequence[Pair]]


def read(folder: Path) -> Beir:
    """Read a BEIR folder."""
    by_name = {name: _records(folder / f"{name}.jsonl") for name in ("corpus", "queries")}
    pairs = {file.stem: _pairs(file) for file in sorted((folder / "qrels").glob("*.tsv"))}
    return Beir(by_name["corpus"], by_name["queries"], pairs)


def sampled(whole: Beir, split: str) -> Beir:
    """Return at most `QUERIES` judged queries, their passages, and others at random up to `PASSAGES`."""
    judged = list(dict.fromkeys(query for query, _ in whole.pairs[split]))
    queries = {*Random(SEED).sample(judged, min(QUERIES, len(judged)))}
    pairs = [(query, passage) for query, passage in whole.pairs[split] if query in queries]
    needed = {passage for _, passage in pairs}
    others = [passage for passage in whole.passages if passage not in needed]
    filling = Random(SEED).sample(others, max(0, min(len(others), PASSAGES - len(needed))))
    return _only(whole, queries, needed | {*filling}, {"test": pairs})


def split_squad(whole: Beir) -> Beir:
    """Split the queries by passage: passages are drawn until they have `QUERIES` queries, which are tested with."""
    (pairs,) = whole.pairs.values()
    order = Random(SEED).sample(list(whole.passages), len(whole.passages))
    held_out: set[str] = set()
    while sum(passage in held_out for _, passage in pairs) < QUERIES:
        held_out.add(order.pop())
    test = [pair for pair in pairs if pair[1] in held_out][:QUERIES]
    train = [pair for pair in pairs if pair[1] not in held_out]
    queries = {query for query, _ in (*test, *train)}
    return _only(whole, queries, {*whole.passages}, {"train": train, "test": test})


def training_part(whole: Beir) -> Beir:
    """Return the training split, its queries and their passages, without queries whose text is tested with.

    SciFact has two such claims.
    """
    tested = {folded(whole.queries[query]["text"]) for query, _ in whole.pairs["test"]}
    pairs = [pair for pair in whole.pairs["train"] if folded(whole.queries[pair[0]]["text"]) not in tested]
    return _only(whole, {query for query, _ in pairs}, {passage for _, passage in pairs}, {"train": pairs})


def write(one: Beir, folder: Path) -> None:
    """Write a BEIR folder; the same content gives the same files."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    for name, records in (("corpus", one.passages), ("queries", one.queries)):
        lines = (f"{json.dumps(record, ensure_ascii=False)}\n" for record in records.values())
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    for split, pairs in one.pairs.items():
        rows = "".join(f"{query}\t{passage}\t1\n" for query, passage in pairs)
        (folder / f"qrels/{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}", "utf-8")


def write_collections(data: Path, folder: Path) -> None:
    """Write every sample that is measured with, SciFact's training split, and SQuAD split in two."""
    for name, (place, split) in SOURCES.items():
        write(sampled(read(data / place), split), folder / name)
    squad = split_squad(read(data / SQUAD))
    write(sampled(squad, "test"), folder / "squad")
    write(training_part(squad), folder / "squad-train")
    write(training_part(read(data / "scifact")), folder / "scifact-train")


def plain_copy(retriever: Path, out: Path) -> Path:
    """Copy weights and tokenizer only: a trained folder cannot carry the normalising head of sentence-transformers.

    Cosines are the same without it.
    """
    out.mkdir(parents=True, exist_ok=True)
    for file in retriever.iterdir():
        if file.name in BACKBONE_FILES or file.suffix == ".safetensors":
            shutil.copyfile(file, out / file.name)
    return out


def train(backbone: Path, collection: Path, test: Path, out: Path) -> Path:
    """Fine-tune on a collection, or go on with what was stopped; queries of `test` must not be among its pairs."""
    settings = TrainStudySettings(
        backbone=ModelSettings(source=str(backbone), load=PLAIN),
        data=DataSettings(source=f"beir:{collection}", split="train"),
        test=(DataSettings(source=f"beir:{test}", split="test"),),
        training=TRAINING,
    )
    run_training(prepare_training(settings), out)
    return out


def _only(whole: Beir, queries: set[str], passages: set[str], pairs: Mapping[str, Sequence[Pair]]) -> Beir:
    return Beir(_kept(whole.passages, passages), _kept(whole.queries, queries), pairs)


def _kept(records: Mapping[str, dict[str, Any]], ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    wanted = {*ids}
    return {name: record for name, record in records.items() if name in wanted}


def _records(file: Path) -> dict[str, dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return {record["_id"]: record for record in map(json.loads, lines)}


def _pairs(file: Path) -> list[Pair]:
    rows = (line.split("\t") for line in file.read_text("utf-8").splitlines()[1:])
    return [(query, passage) for query, passage, grade in rows if int(grade) > 0]
