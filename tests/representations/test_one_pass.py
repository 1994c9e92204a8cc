"""One pass makes the vectors of several poolings, with the bytes that each has when it is made alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from torch import nn

from retroscope.encoders import encode
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.representations.extraction import extract, extract_in_one_pass
from retroscope.representations.one_pass import shares_pass
from retroscope.representations.plan import ExtractionPlan, plan_extraction
from retroscope.representations.repair import lock_of
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import is_finished
from retroscope.representations.windows import Window, WindowVectors, WindowWorker
from toys import TEXTS, save_toy

WORDS = ("moon", "river", "red", "cat", "star", "light", "book", "mat")
NEW = [" ".join(WORDS[(i * j) % 8] for j in range(1, 3 + i % 5)) for i in range(30)] + list(TEXTS)
CORPUS = [*NEW, *NEW[:10]]  # the last windows repeat texts of the first
IDS = [f"t{i}" for i in range(len(CORPUS))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Texts of every forward pass."""
    sizes: list[int] = []
    run = encode.hidden_states

    def counted(encoder: Encoder, batch: encode.Batch, **how: bool) -> object:
        sizes.append(len(batch.ids))
        return run(encoder, batch, **how)

    monkeypatch.setattr(encode, "hidden_states", counted)
    return sizes


def plans(folder: Path, *poolings: str) -> list[ExtractionPlan]:
    """One network under several poolings."""
    first = load_encoder(folder, LoadSettings(pooling=poolings[0]))
    others = [replace(first, recipe=first.recipe.but("test", pooling=name), head=nn.Identity()) for name in poolings]
    return [plan_extraction(one, CORPUS, ExtractionSettings()) for one in others]


def files(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def alone(plan: ExtractionPlan, place: Path) -> dict[str, bytes]:
    extract(plan, IDS, CORPUS, place)
    return files(place)


class Stopped(Exception):
    """Stands for a crash."""


def stop_after(windows: int) -> Iterator[None]:
    yield from [None] * (windows - 1)
    raise Stopped


def test_both_stores_have_the_bytes_of_stores_made_alone(folder: Path, passes: list[int], tmp_path: Path) -> None:
    mean, cls = plans(folder, "mean", "cls")
    passes.clear()  # planning asks each for the shape of a vector
    whole = alone(mean, tmp_path / "mean"), alone(cls, tmp_path / "cls")
    each = len(passes) // 2
    extract_in_one_pass(mean, CORPUS, tmp_path / "a", [(cls, tmp_path / "b")])
    assert not is_finished(tmp_path / "b"), "its own extraction declares it finished"
    extract(cls, IDS, CORPUS, tmp_path / "b")
    assert (files(tmp_path / "a"), files(tmp_path / "b")) == whole
    assert len(passes) == 3 * each, "two alone, one for both"


@pytest.mark.parametrize("written", [1, 3, 5])
def test_a_stopped_pass_goes_on_with_the_same_bytes(
    folder: Path, passes: list[int], tmp_path: Path, written: int
) -> None:
    mean, cls = plans(folder, "mean", "cls")
    passes.clear()  # planning asks each for the shape of a vector
    whole = alone(mean, tmp_path / "mean"), alone(cls, tmp_path / "cls")
    each = len(passes) // 2
    crash = stop_after(written)
    beside = [(cls, tmp_path / "b")]
    with pytest.raises(Stopped):
        extract_in_one_pass(mean, CORPUS, tmp_path / "a", beside, lambda done, total: done and next(crash))
    extract_in_one_pass(mean, CORPUS, tmp_path / "a", beside)
    extract(cls, IDS, CORPUS, tmp_path / "b")
    assert (files(tmp_path / "a"), files(tmp_path / "b")) == whole
    assert len(passes) <= 3 * each + 1, "at most the window that the crash lost is encoded again"


def test_a_window_that_the_store_beside_has_is_not_written_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is stopped after it wrote the third window beside, and before it wrote it to its own store."""
    mean, cls = plans(folder, "mean", "cls")
    beside = [(cls, tmp_path / "b")]
    crash, write = stop_after(3), WindowWorker.write

    def stopped(self: WindowWorker, payload: Window, content: WindowVectors) -> tuple[str, ...]:
        if self.encoder is mean.encoder:
            next(crash)
        return write(self, payload, content)

    with monkeypatch.context() as patch:
        patch.setattr(WindowWorker, "write", stopped)
        with pytest.raises(Stopped):
            extract_in_one_pass(mean, CORPUS, tmp_path / "a", beside)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("c/*/0/0")}
    assert len(before) == 3
    extract_in_one_pass(mean, CORPUS, tmp_path / "a", beside)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    extract(cls, IDS, CORPUS, tmp_path / "b")
    assert files(tmp_path / "b") == alone(cls, tmp_path / "cls")


def test_a_store_that_lacks_earlier_windows_is_made_alone(folder: Path, tmp_path: Path) -> None:
    """Its later windows copy repeated texts from those that it has not."""
    mean, cls = plans(folder, "mean", "cls")
    whole = alone(cls, tmp_path / "cls")
    crash = stop_after(2)
    with pytest.raises(Stopped):  # began without the other
        extract(mean, IDS, CORPUS, tmp_path / "a", lambda done, total: done and next(crash))
    extract_in_one_pass(mean, CORPUS, tmp_path / "a", [(cls, tmp_path / "b")])
    assert not list((tmp_path / "b").rglob("c/*")), "nothing was written beside"
    extract(cls, IDS, CORPUS, tmp_path / "b")
    assert files(tmp_path / "b") == whole


def test_a_store_that_another_run_writes_is_left_to_it(folder: Path, tmp_path: Path) -> None:
    mean, cls = plans(folder, "mean", "cls")
    with FileLock(lock_of(tmp_path / "b")):
        extract_in_one_pass(mean, CORPUS, tmp_path / "a", [(cls, tmp_path / "b")])
    assert not list(tmp_path.rglob("c/*")), "nothing is done that no other store shares"
    extract(mean, IDS, CORPUS, tmp_path / "a")
    assert is_finished(tmp_path / "a")


def test_only_what_has_the_same_states_and_batches_shares_a_pass(folder: Path, tmp_path: Path) -> None:
    mean, cls, both = plans(folder, "mean", "cls", "cls+mean")
    assert shares_pass(mean, cls)
    assert not shares_pass(mean, mean), "one store is not made twice"
    encoder = cls.encoder
    for changes in ({"prompt": "query: "}, {"max_length": 5}, {"padding_side": "left"}, {"pad_to_max": True}):
        other = replace(encoder, recipe=encoder.recipe.but("test", **changes))
        assert not shares_pass(mean, plan_extraction(other, CORPUS, ExtractionSettings())), changes
    again = load_encoder(folder, LoadSettings(pooling="cls"))
    assert not shares_pass(mean, plan_extraction(again, CORPUS, ExtractionSettings())), "another copy of the network"
    assert not shares_pass(mean, plan_extraction(encoder, CORPUS[:-1], ExtractionSettings())), "other texts"
    assert not shares_pass(mean, plan_extraction(encoder, CORPUS, ExtractionSettings(batch_tokens=64)))
    wide = replace(both, window=both.window // 2)
    assert not shares_pass(mean, wide), "other windows have other batches"
