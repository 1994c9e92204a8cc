"""What a cache keeps is checked when it is read; what is damaged is made again, with a note and with the same bytes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import KINDS, contents, damage, each_damaged

from retroscope.analyses.transplants.hybrids import vectors as transplants
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import Example
from retroscope.attribution.settings import AttributionSettings
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.encoders.token_memory import TokenMemory
from retroscope.errors import RepresentationError
from retroscope.inputs.texts import TowerTexts
from retroscope.representations.extraction import extract
from retroscope.representations.plan import plan_extraction
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.vectors import Representations
from retroscope.study.cache.care import clean_cache, repair_cache, shrink_cache, verify_cache
from retroscope.study.cache.entries import cache_entries
from retroscope.study.embed import Embedding, embed
from toys import TEXTS, save_toy

CORPUS = [f"{one} {other}" for one in TEXTS for other in ("moon", "river", "book")][:20] + list(TEXTS[:3])
IDS = [str(i) for i in range(len(CORPUS))]
NOTE = "it is computed again"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, Encoder]:
    home = tmp_path_factory.mktemp("toys")
    folders = [save_toy("bert", home / str(seed), seed=seed) for seed in (0, 1)]
    before, after = (load_encoder(folder, LoadSettings(pooling="mean")) for folder in folders)
    return before, after


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))
    monkeypatch.setattr(transplants, "WINDOW", 8)


@dataclass(frozen=True)
class CacheUser:
    """A part of Retroscope that keeps something in a cache.

    Attributes:
        use: makes or reads it, and returns what it holds as arrays.
        pattern: of its files.
    """

    use: Callable[[Path], Iterable[np.ndarray]]
    pattern: str


def vectors(pair: tuple[Encoder, Encoder], cache: Path) -> list[np.ndarray]:
    plan = plan_extraction(pair[0], CORPUS, ExtractionSettings())
    stored: Representations = extract(plan, IDS, CORPUS, cache / f"{plan.key[:32]}.zarr")
    return [*(stored.layer(k) for k in range(stored.n_layers)), stored.final()]


def hybrids(pair: tuple[Encoder, Encoder], cache: Path) -> list[np.ndarray]:
    texts = TowerTexts(pair[0], tuple(IDS), tokenise(pair[0], CORPUS), tokens=256, collection="toys")
    made = transplants.hybrid_vectors(pair, texts, [(0, "none"), (0, "block:1")], cache, lambda n: None)
    return list(made.values())


def neurons(pair: tuple[Encoder, Encoder], cache: Path) -> list[np.ndarray]:
    draw = torch.Generator().manual_seed(0)
    others = [torch.randn(pair[0].backbone.config.hidden_size, generator=draw) for _ in TEXTS]
    examples = [Example(f"q{i}", (t,), (1.0,), (o,)) for i, (t, o) in enumerate(zip(TEXTS, others, strict=True))]
    plan = plan_attribution(pair[0], examples, AttributionSettings(target="score", quadrature="gauss:2"))
    result = attribute_neurons(plan, cache)
    return [result.scores.values.values, *(result.neurons[part]["signed"].values for part in result.parts)]


def tokens(pair: tuple[Encoder, Encoder], cache: Path) -> list[np.ndarray]:
    memory = TokenMemory(cache / "tokens")
    rows = memory.rows(b"reading", CORPUS, lambda texts: [[len(text), *text.encode()] for text in texts])
    memory.save()
    return [np.array(row) for row in rows]


USERS: dict[str, Callable[[tuple[Encoder, Encoder], Path], list[np.ndarray]]] = {
    "vectors": vectors, "transplants": hybrids, "neurons": neurons, "tokens": tokens
}  # fmt: skip


def kept(cache: Path) -> list[Path]:
    """Return the files of a cache that hold something: neither locks nor records."""
    files = (path for path in cache.rglob("*") if path.is_file())
    return sorted(path for path in files if path.suffix != ".lock" and not path.name.endswith(".about.json"))


def same(one: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", USERS)
def test_whatever_is_damaged_is_made_again_with_the_same_bytes(
    name: str, pair: tuple[Encoder, Encoder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    use = USERS[name]
    sound = use(pair, tmp_path)
    before = contents(tmp_path)
    tried = 0
    for done in each_damaged(kept(tmp_path), draws=2):
        caplog.clear()
        assert same(use(pair, tmp_path), sound), done
        assert contents(tmp_path) == before, done
        assert NOTE in caplog.text or done.kind == "delete", done
        tried += 1
    assert tried >= 5
    caplog.clear()
    assert same(use(pair, tmp_path), sound)
    assert caplog.text == "", "what is sound is not made again"


def test_only_what_is_read_is_made_again(
    pair: tuple[Encoder, Encoder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_extraction(pair[0], CORPUS, ExtractionSettings())
    stored = extract(plan, IDS, CORPUS, tmp_path / "v")
    final = stored.final()
    done = damage(tmp_path / "v" / "vectors/c/1/0/0", "delete", seed=0)
    assert np.array_equal(stored.final(), final)
    assert not done.file.exists()
    stored.texts(np.array([9]))
    assert done.file.read_bytes() == done.sound
    assert caplog.text.count(NOTE) == 1


def test_a_window_is_copied_from_windows_that_are_damaged_too(pair: tuple[Encoder, Encoder], tmp_path: Path) -> None:
    """The last three texts repeat the first window's kin."""
    texts, ids = [*CORPUS[:8], *CORPUS[:8]], [str(i) for i in range(16)]
    plan = plan_extraction(pair[0], texts, ExtractionSettings())
    stored = extract(plan, ids, texts, tmp_path / "v")
    before, final = contents(tmp_path / "v"), stored.final()
    for shard in ("final/c/0/0", "final/c/1/0", "vectors/c/0/0/0"):
        damage(tmp_path / "v" / shard, "flip", seed=1)
    assert np.array_equal(stored.texts(np.array([15]))[0], stored.texts(np.array([7]))[0])
    assert np.array_equal(stored.final(), final)
    assert contents(tmp_path / "v") == before


def test_damage_without_the_model_is_an_error_that_says_what_to_do(
    pair: tuple[Encoder, Encoder], tmp_path: Path
) -> None:
    plan = plan_extraction(pair[0], CORPUS, ExtractionSettings())
    stored = extract(plan, IDS, CORPUS, tmp_path / "v")
    damage(tmp_path / "v" / "final/c/1/0", "flip", seed=0)
    alone = replace(stored, store=replace(stored.store, remake=None))
    with pytest.raises(
        RepresentationError, match=r"cannot be read(.|\n)*fix: remove this folder and repeat the command"
    ):
        alone.final()


def test_embed_repairs_its_finished_folder(
    pair: tuple[Encoder, Encoder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_extraction(pair[0], CORPUS, ExtractionSettings(norm_each_layer=False))
    embedding, out = Embedding(plan, CORPUS, "passage", []), tmp_path / "out"
    embed(embedding, out)
    before = contents(out)
    for done in each_damaged(sorted(path for path in out.rglob("*") if path.is_file())):
        caplog.clear()
        embed(embedding, out)
        assert contents(out) == before, done
        assert f"{done.file.name}" in caplog.text, done


def test_a_store_of_another_model_is_left_alone_however_damaged(pair: tuple[Encoder, Encoder], tmp_path: Path) -> None:
    plans = [plan_extraction(one, CORPUS, ExtractionSettings()) for one in pair]
    extract(plans[0], IDS, CORPUS, tmp_path / "v")
    damage(tmp_path / "v" / "zarr.json", "cut", seed=0)
    before = contents(tmp_path / "v")
    with pytest.raises(RepresentationError):
        extract(plans[1], IDS, CORPUS, tmp_path / "v")
    assert contents(tmp_path / "v") == before


# ---- retroscope cache


@pytest.fixture
def cache(pair: tuple[Encoder, Encoder], tmp_path: Path) -> Path:
    for use in USERS.values():
        use(pair, tmp_path)
    return tmp_path


def test_verify_names_exactly_the_damaged_files_and_repair_removes_them(
    pair: tuple[Encoder, Encoder], cache: Path
) -> None:
    assert verify_cache(cache) == []
    before = contents(cache)
    files = [file for file in kept(cache) if file.name != "zarr.json"]
    for number, file in enumerate(files):
        done = damage(file, KINDS[number % 2], seed=number)
        assert verify_cache(cache) == [file]
        done.undo()
    for number, file in enumerate(files):
        damage(file, KINDS[number % 2], seed=number)
    assert sorted(repair_cache(cache).paths) == files
    for use in USERS.values():
        use(pair, cache)
    assert contents(cache) == before


def test_a_damaged_description_of_vectors_is_named_and_mended(pair: tuple[Encoder, Encoder], cache: Path) -> None:
    before = contents(cache)
    (group,) = cache.glob("*.zarr/zarr.json")
    for file in sorted(cache.glob("*.zarr/**/zarr.json")):
        damage(file, "flip", seed=3)
        assert verify_cache(cache) == [group]
        repair_cache(cache)
        vectors(pair, cache)
        assert contents(cache) == before


def test_entries_say_what_made_them(cache: Path, pair: tuple[Encoder, Encoder]) -> None:
    by_kind = {entry.kind.name: entry for entry in cache_entries(cache)}
    assert set(by_kind) == set(USERS)
    made = by_kind["transplants"].origin
    assert made is not None
    assert (made.models, made.collection) == ((pair[0].name, pair[1].name), "toys")
    assert sum(entry.size for entry in by_kind.values()) == sum(map(len, contents(cache).values()))


def test_clean_removes_what_nothing_uses_and_nothing_else(pair: tuple[Encoder, Encoder], cache: Path) -> None:
    before = contents(cache)
    outdated = cache / "neurons-0123.npz"
    (cache / ".neurons-1.npz.abcdefgh.partial").write_bytes(b"half")
    outdated.write_bytes(b"of an earlier version, which wrote no checksum and no record")
    removed = clean_cache(cache)
    assert contents(cache) == before
    assert outdated in removed.paths
    assert removed.busy == ()


def test_the_oldest_unused_entries_go_first(cache: Path, pair: tuple[Encoder, Encoder]) -> None:
    import os

    for age, name in enumerate(("neurons", "vectors", "tokens", "transplants")):
        entry = next(one for one in cache_entries(cache) if one.kind.name == name)
        os.utime(entry.path.with_name(f"{entry.path.name}.about.json") if name != "vectors" else entry.path, (age, age))
    sizes = {one.kind.name: one.size for one in cache_entries(cache)}
    shrink_cache(cache, sum(sizes.values()) - sizes["neurons"])
    assert {one.kind.name for one in cache_entries(cache)} == {"vectors", "tokens", "transplants"}
    shrink_cache(cache, sizes["transplants"])
    assert {one.kind.name for one in cache_entries(cache)} == {"transplants"}
    neurons(pair, cache)
