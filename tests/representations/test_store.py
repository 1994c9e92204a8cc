"""A store gives back what was written, or an error; never a plausible zero."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec
from zarr.storage import LocalStore

from retroscope.errors import AnalysisError, RepresentationError
from retroscope.representations.layout import create_arrays
from retroscope.representations.store import is_finished, open_store
from retroscope.representations.vectors import Representations, representations_in_memory

ATTRS = {"key": "k", "done": 0, "layer_names": ["0", "1", "2 (post-norm)"], "recipe": {}}
VALUES = np.random.default_rng(0).normal(size=(10, 3, 4)).astype(np.float32)
FINAL = np.random.default_rng(1).normal(size=(10, 5)).astype(np.float32)
IDS = tuple("abcdefghij")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished store of ten texts in shards of four."""
    return finished(tmp_path / "v.zarr", ATTRS)


def finished(folder: Path, attrs: dict[str, Any]) -> Path:
    create_arrays(folder, shapes=((10, 3, 4), (10, 5)), window=4, dtype="float32", attrs=attrs)
    store = open_store(folder, "r+")
    store.vectors[:], store.final[:] = VALUES, FINAL
    store.group.attrs["done"] = 10
    return folder


def test_vectors_come_back(folder: Path) -> None:
    reopened = Representations(IDS, open_store(folder))
    assert is_finished(folder)
    assert (reopened.n_layers, reopened.layer_names) == (3, ("0", "1", "2 (post-norm)"))
    for k in range(3):
        np.testing.assert_array_equal(reopened.layer(k), VALUES[:, k])
    np.testing.assert_array_equal(reopened.final(), FINAL)
    some = np.array([7, 0, 7])
    np.testing.assert_array_equal(reopened.store.texts(some)[0], VALUES[some])
    np.testing.assert_array_equal(reopened.store.texts(some)[1], FINAL[some])
    assert reopened.rows(["c", "a"]).tolist() == [2, 0]


@pytest.mark.parametrize("texts", [1, 4, 9, 99])
def test_blocks_are_the_whole_in_order_in_whole_shards(
    folder: Path, texts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retroscope.representations.vectors.BLOCK_BYTES", texts * 5 * 4)
    final = list(Representations(IDS, open_store(folder)).final_blocks())
    np.testing.assert_array_equal(np.concatenate(final), FINAL)
    assert [len(b) for b in final] == {1: [4, 4, 2], 4: [4, 4, 2], 9: [8, 2], 99: [10]}[texts]
    monkeypatch.setattr("retroscope.representations.vectors.BLOCK_BYTES", texts * 4 * 4)
    blocks = list(Representations(IDS, open_store(folder)).layer_blocks())
    layers = [list(block) for block in blocks]
    assert [[len(layer) for layer in block] for block in layers] == [[len(b)] * 3 for b in final]
    for k in range(3):
        np.testing.assert_array_equal(np.concatenate([block[k] for block in layers]), VALUES[:, k])


def test_layers_of_a_block_are_read_one_by_one(tmp_path: Path) -> None:
    """A block has 16 MiB of one layer: the last one, the next one, and its chunks. All layers have 96 MiB."""
    shape = (8192, 3, 1024)
    create_arrays(tmp_path / "v.zarr", shapes=(shape, (8192, 1)), window=256, dtype="float32", attrs=ATTRS)
    store = open_store(tmp_path / "v.zarr", "r+")
    for start in range(0, 8192, 256):
        store.write_shard(start, np.full((256, *shape[1:]), start, np.float32), np.zeros((256, 1), np.float32))
    tracemalloc.start()
    blocks = Representations([str(i) for i in range(8192)], open_store(tmp_path / "v.zarr")).layer_blocks()
    sizes = [[len(layer) for layer in block] for block in blocks]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [[4096] * 3] * 2
    assert peak < 64 * 2**20


@pytest.mark.parametrize("normed", [False, True])
def test_blocks_of_layers_are_read_with_the_final_norm_or_without(tmp_path: Path, normed: bool) -> None:
    """Three stored columns of a model of one block: layers 0 and 1, and layer 0 with the norm."""
    folder = finished(tmp_path / "v.zarr", {**ATTRS, "norm_each_layer": True})
    stored = Representations(IDS, open_store(folder), normed=normed)
    (block,) = map(list, stored.layer_blocks())
    assert stored.n_layers == len(block) == 2
    for k in range(2):
        np.testing.assert_array_equal(block[k], stored.layer(k))


@pytest.mark.parametrize("k", [-1, 3, 99])
def test_a_layer_that_is_not_there_is_named(folder: Path, k: int) -> None:
    with pytest.raises(AnalysisError, match=rf"these vectors have no layer {k}\n  fix: give a layer from 0 to 2"):
        Representations(IDS, open_store(folder)).layer(k)


def test_ids_are_one_a_row_and_known(folder: Path) -> None:
    with pytest.raises(
        RepresentationError,
        match=r"9 ids were given for 10 vectors\n  fix: give one id for each vector, in their order",
    ):
        Representations(IDS[:9], open_store(folder))
    with pytest.raises(
        RepresentationError, match=r"there are no stored vectors for these ids:\n  - x\n  fix: encode the whole"
    ):
        Representations(IDS, open_store(folder)).rows(["a", "x"])


def test_a_flipped_byte_anywhere_in_a_shard_is_noticed(folder: Path) -> None:
    """CRC-32C finds every error of one byte; no flipped byte may give a wrong number."""
    shard = folder / "vectors/c/1/0/0"
    sound = shard.read_bytes()
    for place in range(0, len(sound), 2):
        damaged = bytearray(sound)
        damaged[place] ^= 0x40
        shard.write_bytes(bytes(damaged))
        reopened = Representations(IDS, open_store(folder))
        noticed = 0
        for k in range(3):
            try:
                np.testing.assert_array_equal(reopened.layer(k), VALUES[:, k])
            except RepresentationError:
                noticed += 1
        assert noticed >= 1, f"byte {place} of {len(sound)}"


@pytest.mark.parametrize("kept", [0, 3, 50, -1])
def test_a_shard_cut_short_is_noticed(folder: Path, kept: int) -> None:
    shard = folder / "final/c/0/0"
    shard.write_bytes(shard.read_bytes()[:kept])
    reopened = Representations(IDS, open_store(folder))
    with pytest.raises(RepresentationError, match=r"(cannot be read|are missing): (.|\n)*fix: remove this folder and"):
        reopened.final()
    with pytest.raises(RepresentationError, match=r"cannot be read|are missing"):
        reopened.store.texts(np.array([1]))


@pytest.mark.parametrize("shard", ["vectors/c/2/0/0", "final/c/0/0"])
def test_a_shard_that_is_gone_is_no_zero(folder: Path, shard: str) -> None:
    (folder / shard).unlink()
    reopened = Representations(IDS, open_store(folder))
    read = reopened.final if shard.startswith("final") else lambda: reopened.layer(0)
    with pytest.raises(RepresentationError, match=r"are missing: a file was removed(.|\n)*fix: remove this folder"):
        read()


def test_zero_vectors_are_stored_as_such(folder: Path) -> None:
    store = open_store(folder, "r+")
    store.vectors[:] = 0
    np.testing.assert_array_equal(Representations(IDS, open_store(folder)).layer(0), 0)


def test_an_unfinished_store_is_not_finished(folder: Path, tmp_path: Path) -> None:
    open_store(folder, "r+").group.attrs["done"] = 8
    assert not is_finished(folder)
    assert not is_finished(tmp_path / "absent")


@pytest.mark.parametrize("missing", ["key", "done", "layer_names"])
def test_a_store_without_its_records_is_refused(folder: Path, missing: str) -> None:
    meta = json.loads((folder / "zarr.json").read_text())
    del meta["attributes"][missing]
    (folder / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(
        RepresentationError, match=rf"not a vector store: the group lacks the attributes {missing}\n  fix: remove"
    ):
        open_store(folder)


def test_what_is_no_store_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "group").mkdir()
    zarr.open_group(tmp_path / "group", mode="w")
    (folder / "zarr.json").write_text("{")
    for place in (tmp_path / "empty", tmp_path / "group", folder):
        with pytest.raises(RepresentationError, match=r"this is not a vector store: (.|\n)*fix: remove this folder"):
            open_store(place)


def test_arrays_at_hand_are_representations_too() -> None:
    in_memory = representations_in_memory(IDS, VALUES)
    np.testing.assert_array_equal(in_memory.layer(1), VALUES[:, 1])
    np.testing.assert_array_equal(in_memory.final(), VALUES[:, -1])
    np.testing.assert_array_equal(representations_in_memory(IDS, VALUES, FINAL).final(), FINAL)
    np.testing.assert_array_equal(np.concatenate(list(in_memory.final_blocks())), VALUES[:, -1])


def test_the_files_of_a_store_are_those_that_zarr_writes(folder: Path, tmp_path: Path) -> None:
    """The layout is documented and read elsewhere: no file more, none less, no byte changed."""
    attributes = {**ATTRS, "done": 10, "checksum": open_store(folder).attributes["checksum"]}
    group = zarr.open_group(LocalStore(tmp_path / "plain"), mode="w-", attributes=attributes)
    for name, values, dims in (("vectors", VALUES, ("text", "layer", "dim")), ("final", FINAL, ("text", "out"))):
        chunk = (4, 1, 4) if name == "vectors" else (4, 5)
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=chunk,
            shards=(4, *values.shape[1:]),
            dtype="float32",
            fill_value=np.nan,
            serializer=BytesCodec(),
            compressors=(Crc32cCodec(),),
            dimension_names=dims,
            attributes={"key": ATTRS["key"]},
        )
        array[:] = values
    ours, plain = (
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (folder, tmp_path / "plain")
    )
    assert ours == plain
    named = [file for start in (0, 4, 8) for file in open_store(folder).shard_files(start)]
    assert sorted(named) == sorted(file for file in ours if not file.endswith("zarr.json"))
