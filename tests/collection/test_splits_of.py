"""Every layout that has splits says which: a training that is given no split never takes the one for testing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_folders import TOY, Hub, put, saved, write_beir
from test_hub_snapshots import save
from test_multilingual import write_miracl, write_mr_tydi
from test_user_layouts import QUESTION

from retroscope.collection.loading import load_collection, splits_of
from retroscope.collection.readers import hugging_face
from retroscope.study.training.splits import training_split

BOTH = ("test", "train")


def beir(folder: Path) -> None:
    for split in BOTH:
        write_beir(folder, TOY, split=split)


def trec(folder: Path) -> None:
    put(folder / "corpus.tsv", "d1\tone\n")
    for split in BOTH:
        put(folder / f"topics.{split}.tsv", "q1\tfirst\n")
        put(folder / f"qrels.{split}.txt", "q1 0 d1 1\n")


def dpr(folder: Path) -> None:
    for split in BOTH:
        put(folder / f"{split}.json", json.dumps([QUESTION]))


def miracl(folder: Path) -> None:
    write_miracl(folder, folder)
    for role in ("topics", "qrels"):
        dev = folder / role / f"{role}.miracl-v1.0-sw-dev.tsv"
        for split in BOTH:
            put(dev.with_name(dev.name.replace("dev", split)), dev.read_text())
        dev.unlink()


def parquet(folder: Path) -> None:
    for split in BOTH:
        save(folder / "data" / f"{split}-00000-of-00001.parquet", [{"anchor": "x", "positive": "y"}])


def configurations(folder: Path) -> None:
    save(folder / "corpus" / "corpus.parquet", [{"_id": "d1", "text": "one"}])
    save(folder / "queries" / "queries.parquet", [{"_id": "q1", "text": "first"}])
    for split in BOTH:
        save(folder / "qrels" / f"{split}.parquet", [{"query-id": "q1", "corpus-id": "d1"}])


def card(folder: Path) -> None:
    configurations(folder)
    (folder / "qrels").rename(folder / "judged")
    parts = {"corpus": "corpus", "queries": "queries", "default": "judged"}
    files = [
        f"- config_name: {name}\n  data_files:\n"
        + "".join(f"  - split: {f.stem}\n    path: {part}/{f.name}\n" for f in sorted((folder / part).iterdir()))
        for name, part in parts.items()
    ]
    put(folder / "README.md", f"---\nconfigs:\n{''.join(files)}---\n")


def saved_by_split(folder: Path) -> None:
    for split in BOTH:
        saved([{"anchor": "x", "positive": "y"}], folder / split)
    put(folder / "dataset_dict.json", json.dumps({"splits": BOTH}))


LAYOUTS = {"beir": beir, "trec": trec, "dpr": dpr, "miracl": miracl, "mrtydi": write_mr_tydi, "parquet": parquet,
           "configurations": configurations, "card": card, "saved": saved_by_split}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_training_takes_the_training_split(layout: str, tmp_path: Path) -> None:
    write: Callable[[Path], object] = LAYOUTS[layout]
    write(tmp_path)
    assert splits_of(tmp_path) == BOTH
    assert load_collection(tmp_path).mapping["split"] == "test"
    split = training_split(str(tmp_path), None)
    assert load_collection(tmp_path, split=split).mapping["split"] == "train"


def test_a_name_of_the_hub_has_the_splits_of_its_judgments(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(TOY)
    monkeypatch.setattr(hugging_face, "_hub", lambda name: hub)
    assert splits_of("hf:mteb/toy") == ("dev", "test", "train")
    assert training_split("hf:mteb/toy", None) == "train"
