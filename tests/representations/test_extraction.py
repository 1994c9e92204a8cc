"""Vectors are made once, the same whatever happens in between, and keyed by all that makes them."""

import tracemalloc
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from filelock import FileLock

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.encoders.token_budgets import ENCODING
from retroscope.engine.choice import Engine
from retroscope.engine.ledger import Ledger
from retroscope.engine.storage import Storage
from retroscope.errors import RepresentationError
from retroscope.representations import extraction, own_store, windows
from retroscope.representations.extraction import extract
from retroscope.representations.inventory import take_inventory
from retroscope.representations.plan import ExtractionPlan, plan_extraction
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import is_finished, open_store
from retroscope.representations.windows import WindowWorker
from toys import TEXTS, save_toy

WORDS = ("moon", "river", "red", "cat", "star", "light", "book", "mat")
CORPUS = [" ".join(WORDS[(i * j) % 8] for j in range(1, 3 + i % 5)) for i in range(30)] + list(TEXTS)
IDS = [f"t{i}" for i in range(len(CORPUS))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture
def encoder(folder: Path) -> Encoder:
    return load_encoder(folder, LoadSettings(pooling="mean"))


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))


def planned(encoder: Encoder, texts: Iterable[str] = CORPUS, **settings: object) -> ExtractionPlan:
    return plan_extraction(encoder, texts, ExtractionSettings(**settings))


def files(store: Path) -> dict[str, bytes]:
    """Every file of a store but its lock."""
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


class Stopped(Exception):
    """Stands for a crash."""


def stop_after(windows: int) -> Iterator[None]:
    yield from [None] * (windows - 1)
    raise Stopped


# ---- the vectors


def test_stored_vectors_are_those_of_each_text_alone(encoder: Encoder, small_windows: None, tmp_path: Path) -> None:
    stored = extract(planned(encoder), IDS, CORPUS, tmp_path / "v")
    expected = encode_layers(encoder, CORPUS, tokens=1)
    for k in range(stored.n_layers):
        np.testing.assert_allclose(stored.layer(k), expected.layers[:, k], atol=1e-5)
    np.testing.assert_allclose(stored.final(), expected.final, atol=1e-5)


def test_repeated_texts_have_the_same_bits_in_every_window(
    encoder: Encoder, small_windows: None, tmp_path: Path
) -> None:
    texts = [CORPUS[i % 11] for i in range(60)]
    stored = extract(planned(encoder, texts), [str(i) for i in range(60)], texts, tmp_path / "v")
    first = take_inventory(encoder, texts).first
    assert len(set(first)) < 12
    for k in range(stored.n_layers):
        np.testing.assert_array_equal(stored.layer(k), stored.layer(k)[first])
    np.testing.assert_array_equal(stored.final(), stored.final()[first])


def test_repeated_texts_are_encoded_once(
    encoder: Encoder, small_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = windows.encode_rows

    def counted(which: Encoder, rows: list[list[int]], tokens: int, **more: bool) -> object:
        seen.append(len(rows))
        return real(which, rows, tokens, **more)

    texts = CORPUS[:4] * 10
    plan = planned(encoder, texts)
    monkeypatch.setattr(windows, "encode_rows", counted)
    extract(plan, [str(i) for i in range(40)], texts, tmp_path / "v")
    assert sum(seen) == plan.inventory.n_distinct == 4


def test_half_precision_is_rounded_and_overflow_is_an_error(encoder: Encoder, tmp_path: Path) -> None:
    half = extract(planned(encoder, dtype="float16"), IDS, CORPUS, tmp_path / "half")
    full = extract(planned(encoder), IDS, CORPUS, tmp_path / "full")
    np.testing.assert_array_equal(half.layer(1), full.layer(1).astype(np.float16))
    assert half.layer(1).dtype == np.float32
    encoder.backbone.encoder.layer[1].output.LayerNorm.weight.mul_(1e6)
    with pytest.raises(
        RepresentationError, match=r"vectors of the layers have NaN or infinite values in float16(.|\n)*fix: store fl"
    ):
        extract(planned(load_bigger(encoder), dtype="float16"), IDS, CORPUS, tmp_path / "big")
    assert not is_finished(tmp_path / "big")


def load_bigger(encoder: Encoder) -> Encoder:
    """The same encoder with its fingerprint forgotten."""
    return replace(encoder)


def test_every_number_format_says_its_size(encoder: Encoder) -> None:
    assert planned(encoder).n_bytes == len(CORPUS) * (3 * 16 + 16) * 4
    assert planned(encoder, dtype="float16").n_bytes == len(CORPUS) * (3 * 16 + 16) * 2


def test_batches_suit_the_device_unless_they_are_given(encoder: Encoder) -> None:
    assert planned(encoder).tokens == ENCODING["cpu"]
    assert planned(encoder, batch_tokens=77).tokens == 77
    assert planned(encoder, batch_tokens=ENCODING["cpu"]).key == planned(encoder).key


def test_windows_hold_bounded_bytes(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    row = (3 * 16 + 16) * 4
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_BYTES", 10 * row)
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (2, 20))
    assert planned(encoder).window == 10
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_BYTES", 0)
    assert planned(encoder).window == 2
    assert planned(encoder, CORPUS[:1]).window == 1


def test_a_window_is_written_while_the_next_is_computed(
    encoder: Encoder, small_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_write, real_compute = WindowWorker.write, WindowWorker.compute
    started = Event()

    def write(*given: object) -> tuple[str, ...]:
        if len(events) < 3:
            started.wait(10)  # until the model runs on the next window
        events.append("written")
        return real_write(*given)  # type: ignore[arg-type]

    def compute(*given: object) -> object:
        events.append("computed")
        if events.count("computed") == 2:
            started.set()
        return real_compute(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(WindowWorker, "write", write)
    monkeypatch.setattr(WindowWorker, "compute", compute)
    extract(planned(encoder), IDS, CORPUS, tmp_path / "v")
    assert events[:3] == ["computed", "computed", "written"]
    assert is_finished(tmp_path / "v")


def test_a_window_that_cannot_be_written_is_an_error(
    encoder: Encoder, small_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> tuple[str, ...]:
        raise OSError("no space left on device")

    monkeypatch.setattr(WindowWorker, "write", full)
    with pytest.raises(OSError, match="no space left"):
        extract(planned(encoder), IDS, CORPUS, tmp_path / "v")
    assert Ledger(Storage(tmp_path / "v")).records() == 0


# ---- interruptions


@pytest.mark.parametrize("written", [1, 2, 4])
def test_an_interrupted_run_ends_with_the_same_bytes(
    encoder: Encoder, small_windows: None, tmp_path: Path, written: int
) -> None:
    texts = [*CORPUS, *CORPUS[:10]]  # the last window repeats texts of the first
    ids = [str(i) for i in range(len(texts))]
    plan = planned(encoder, texts)
    extract(plan, ids, texts, tmp_path / "whole")
    crash = stop_after(written)
    with pytest.raises(Stopped):
        extract(plan, ids, texts, tmp_path / "resumed", lambda done, total: done and next(crash))
    assert Ledger(Storage(tmp_path / "resumed")).records() == written
    progress_calls: list[tuple[int, int]] = []
    extract(plan, ids, texts, tmp_path / "resumed", lambda done, total: progress_calls.append((done, total)))
    assert progress_calls[:4] == [(0, 44), (0, 44), (8 * written, 44), (8 * (written + 1), 44)]
    assert progress_calls[-1] == (44, 44)
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")


def test_a_crash_between_writing_and_noting_it_is_mended(encoder: Encoder, small_windows: None, tmp_path: Path) -> None:
    plan = planned(encoder)
    extract(plan, IDS, CORPUS, tmp_path / "whole")
    extract(plan, IDS, CORPUS, tmp_path / "v")
    store = open_store(tmp_path / "v", "r+")
    store.group.attrs["done"] = 16
    store.vectors[20:24] = 7.0  # half of a window, as a crash on another file system might leave it
    extract(plan, IDS, CORPUS, tmp_path / "v")
    assert files(tmp_path / "v") == files(tmp_path / "whole")


def test_a_store_that_could_not_be_created_leaves_nothing(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        Path(args[0]).mkdir()  # type: ignore[arg-type]
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(own_store, "create_arrays", broken)
        with pytest.raises(Stopped):
            extract(planned(encoder), IDS, CORPUS, tmp_path / "cache" / "v")
    assert list((tmp_path / "cache").iterdir()) == []
    assert extract(planned(encoder), IDS, CORPUS, tmp_path / "cache" / "v").n_layers == 3


def test_a_finished_store_is_opened_without_the_model_or_the_lock(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(encoder)
    extract(plan, IDS, CORPUS, tmp_path / "v")
    before = files(tmp_path / "v")

    def no_model(*args: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(windows, "encode_rows", no_model)
    with FileLock(tmp_path / ".v.lock"):
        extract(plan, IDS, CORPUS, tmp_path / "v")
    assert files(tmp_path / "v") == before


# ---- other runs, other plans, other texts


def test_a_second_writer_is_sent_away(encoder: Encoder, small_windows: None, tmp_path: Path) -> None:
    plan = planned(encoder)
    crash = stop_after(1)
    with pytest.raises(Stopped):
        extract(plan, IDS, CORPUS, tmp_path / "v", lambda done, total: done and next(crash))
    with (
        FileLock(tmp_path / ".v.lock"),
        pytest.raises(RepresentationError, match=r"another run is writing vectors to this folder\n  fix: repeat the"),
    ):
        extract(plan, IDS, CORPUS, tmp_path / "v")


def test_two_creators_leave_one_sound_store(encoder: Encoder, tmp_path: Path) -> None:
    plan = planned(encoder)

    def create(_: int) -> None:
        own_store.create_store(plan, tmp_path / "v")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(8)))
    assert [p.name for p in tmp_path.iterdir()] == ["v"]
    assert extract(plan, IDS, CORPUS, tmp_path / "v").final().shape == (len(CORPUS), 16)


def test_a_folder_of_another_plan_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    extract(planned(encoder), IDS, CORPUS, tmp_path / "v")
    with pytest.raises(RepresentationError, match=r"vectors of another model, recipe, set(.|\n)*fix: give another"):
        extract(planned(encoder, CORPUS[::-1]), IDS, CORPUS[::-1], tmp_path / "v")


@pytest.mark.parametrize(
    "damage", ["flipped", "gone", "no shard at all", "of another run", "without a record", "with half a record"]
)
def test_a_damaged_window_is_computed_again(encoder: Encoder, small_windows: None, tmp_path: Path, damage: str) -> None:
    texts = [*CORPUS[:24], *CORPUS[:4]]  # the last window repeats texts of the first
    ids = [str(i) for i in range(28)]
    plan = planned(encoder, texts)
    extract(plan, ids, texts, tmp_path / "whole")
    crash = stop_after(2)
    with pytest.raises(Stopped):
        extract(plan, ids, texts, tmp_path / "v", lambda done, total: done and next(crash))
    shard, record = tmp_path / "v" / "vectors/c/0/0/0", tmp_path / "v" / ".shards/00000000.json"
    {
        "flipped": lambda: shard.write_bytes(b"\0" + shard.read_bytes()[1:]),
        "gone": shard.unlink,
        "no shard at all": lambda: shard.write_bytes(b"damaged"),
        "of another run": lambda: shard.write_bytes((tmp_path / "whole" / "vectors/c/1/0/0").read_bytes()),
        "without a record": record.unlink,
        "with half a record": lambda: record.write_bytes(record.read_bytes()[:40]),
    }[damage]()
    told: list[str] = []
    extract(plan, ids, texts, tmp_path / "v", engine=Engine(told=told.append))
    assert files(tmp_path / "v") == files(tmp_path / "whole")
    assert told == ([] if damage == "without a record" else ["1 shard was damaged, so it was computed again"])


def test_a_window_of_other_equipment_is_computed_again(
    encoder: Encoder, small_windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, told = planned(encoder), list[str]()
    crash = stop_after(2)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(extraction, "equipment", lambda device: {"device": "NVIDIA H100"})
        with pytest.raises(Stopped):
            extract(plan, IDS, CORPUS, tmp_path / "v", lambda done, total: done and next(crash))
    extract(plan, IDS, CORPUS, tmp_path / "v", engine=Engine(told=told.append))
    assert told == [
        "2 shards were made on another kind of device, or with other libraries, so they were computed again"
    ]


def test_leftovers_of_a_killed_run_are_removed(encoder: Encoder, small_windows: None, tmp_path: Path) -> None:
    plan = planned(encoder)
    extract(plan, IDS, CORPUS, tmp_path / "whole")
    crash = stop_after(2)
    with pytest.raises(Stopped):
        extract(plan, IDS, CORPUS, tmp_path / "v", lambda done, total: done and next(crash))
    (tmp_path / "v/vectors/c/3/0").mkdir(parents=True)
    (tmp_path / "v/vectors/c/3/0/0.0123.partial").write_bytes(b"half")
    extract(plan, IDS, CORPUS, tmp_path / "v")
    assert files(tmp_path / "v") == files(tmp_path / "whole")


def test_texts_must_be_those_of_the_plan(encoder: Encoder, small_windows: None, tmp_path: Path) -> None:
    plan = planned(encoder)
    with pytest.raises(RepresentationError, match=r"the texts differ from those .*: 3 ids for 34 texts"):
        extract(plan, IDS[:3], CORPUS, tmp_path / "v")
    with pytest.raises(
        RepresentationError, match=r"20 instead of 34 texts\n  fix: pass the same texts to `plan_extraction` and"
    ):
        extract(plan, IDS, CORPUS[:20], tmp_path / "short")
    with pytest.raises(RepresentationError, match=r"plan_extraction`: more than 34 texts"):
        extract(plan, IDS, [*CORPUS, *CORPUS], tmp_path / "long")
    with pytest.raises(
        RepresentationError, match=r"plan_extraction`: a text at a position from 8 to 15 has another length"
    ):
        extract(plan, IDS, [*CORPUS[:9], "red red red red red red red red", *CORPUS[10:]], tmp_path / "other")
    exhausted = iter(CORPUS)
    assert len(list(exhausted)) == len(CORPUS)
    with pytest.raises(
        RepresentationError, match=r"plan_extraction`: 0 instead of 34 texts(.|\n)*an iterable that can be read again"
    ):
        extract(plan, IDS, exhausted, tmp_path / "none")


def test_a_key_changes_with_all_that_makes_a_vector(
    encoder: Encoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = planned(encoder).key
    assert planned(load_encoder(folder, LoadSettings(pooling="mean"))).key == base
    assert planned(encoder, iter(CORPUS)).key == base
    other = {
        "weights": planned(load_encoder(save_toy("bert", tmp_path, seed=1), LoadSettings(pooling="mean"))).key,
        "pooling": planned(load_encoder(folder, LoadSettings(pooling="cls"))).key,
        "length": planned(load_encoder(folder, LoadSettings(pooling="mean", max_length=40))).key,
        "order of texts": planned(encoder, CORPUS[::-1]).key,
        "texts": planned(encoder, CORPUS[:-1]).key,
        "dtype": planned(encoder, dtype="float16").key,
        "batches": planned(encoder, batch_tokens=64).key,
    }
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))
    other["window"] = planned(encoder).key
    monkeypatch.setattr("retroscope.representations.plan.VERSION", 0)
    other["code"] = planned(encoder).key
    assert len({*other.values(), base}) == len(other) + 1


# ---- memory


def peak(encoder: Encoder, n: int, folder: Path) -> int:
    """Largest sum of Python's and numpy's allocations while planning and extracting `n` short texts."""

    class Corpus:
        def __iter__(self) -> Iterator[str]:
            return islice((f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}" for i in range(n)), n)

    class Ids:
        def __len__(self) -> int:
            return n

    tracemalloc.start()
    try:
        extract(planned(encoder, Corpus()), Ids(), Corpus(), folder)  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_corpus(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond two windows, a corpus costs the inventory: at most the 70 bytes a text that it states."""
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (256, 256))
    monkeypatch.setattr("retroscope.representations.inventory.CHUNK", 256)
    peak(encoder, 256, tmp_path / "warm")  # what is allocated once and kept
    n = 512
    small, large = peak(encoder, n, tmp_path / "small"), peak(encoder, 8 * n, tmp_path / "large")
    one_window = 256 * (3 * 16 + 16) * 4
    assert large - small <= 7 * n * 70 + one_window  # written, in the larger one, while the next is computed
