"""Only some layers are stored: the same bits as in a store of all layers, and a clear error for the others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError, SettingsError
from retroscope.representations.damage import GROUP
from retroscope.representations.extraction import extract
from retroscope.representations.plan import ExtractionPlan, plan_extraction
from retroscope.representations.repair import damaged_files, remake_damaged
from retroscope.representations.settings import ExtractionSettings
from retroscope.representations.store import is_finished, open_store
from retroscope.representations.vectors import Representations
from toys import TEXTS, save_toy

CORPUS = [f"{TEXTS[i % 3]} {['moon', 'river', 'red', 'cat'][i % 4]} {i % 7}" for i in range(30)] * 2
LAYERS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2,), (0, 2), (0, 1, 2))


@pytest.fixture(params=["bert", "llama"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Encoder:
    """A model without a final norm, and one with a norm, whose lower layers are stored twice."""
    return load_encoder(save_toy(request.param, tmp_path / "model"), LoadSettings(pooling="mean"))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.representations.plan.WINDOW_TEXTS", (8, 8))


def planned(encoder: Encoder, layers: tuple[int, ...] | None) -> ExtractionPlan:
    return plan_extraction(encoder, CORPUS, ExtractionSettings(layers=layers))


def stored(encoder: Encoder, folder: Path, layers: tuple[int, ...] | None) -> Representations:
    return extract(planned(encoder, layers), [str(i) for i in range(len(CORPUS))], CORPUS, folder)


@pytest.mark.parametrize("layers", LAYERS)
def test_stored_layers_have_the_bits_that_they_have_among_all(
    encoder: Encoder, tmp_path: Path, layers: tuple[int, ...]
) -> None:
    every, some = stored(encoder, tmp_path / "all", None), stored(encoder, tmp_path / "some", layers)
    last = encoder.anatomy.n_blocks
    assert last == 2
    assert (some.n_layers, some.layer_names) == (every.n_layers, every.layer_names)
    views = [(every, some), (every.bare(), some.bare())]
    for whole, part in views:
        np.testing.assert_array_equal(part.final(), whole.final())
        np.testing.assert_array_equal(np.concatenate(list(part.final_blocks())), whole.final())
        for layer in layers:
            np.testing.assert_array_equal(part.layer(layer), whole.layer(layer))
    twice = sum(layer < last for layer in layers) if every.normed else 0
    assert some.store.vectors.shape == (len(CORPUS), len(layers) + twice, every.store.vectors.shape[2])


@pytest.mark.parametrize("layers", [layers for layers in LAYERS if len(layers) < 3])
def test_a_layer_that_is_not_stored_is_an_error(encoder: Encoder, tmp_path: Path, layers: tuple[int, ...]) -> None:
    some = stored(encoder, tmp_path / "some", layers)
    names = "layers " + ", ".join(map(str, layers)) if layers else "only the final vectors"
    missing = min({0, 1, 2} - {*layers})
    message = rf"layer {missing} are not stored \(stored: {names}\)"
    for read in (lambda: some.layer(missing), lambda: some.texts(np.array([0])), lambda: next(some.layer_blocks())):
        with pytest.raises(AnalysisError, match=message):
            read()


def test_a_store_of_all_named_layers_reads_in_blocks(encoder: Encoder, tmp_path: Path) -> None:
    every, named = stored(encoder, tmp_path / "all", None), stored(encoder, tmp_path / "named", (0, 1, 2))
    for one, other in zip(every.layer_blocks(), named.layer_blocks(), strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(named.texts(np.array([3, 0])), every.texts(np.array([3, 0])))


@pytest.mark.parametrize("layers", [(), (1,)])
def test_a_stopped_run_ends_with_the_same_bytes(encoder: Encoder, tmp_path: Path, layers: tuple[int, ...]) -> None:
    def stop() -> Iterator[None]:
        yield from [None] * 2
        raise KeyboardInterrupt

    stored(encoder, tmp_path / "whole", layers)
    plan, ids, crash = planned(encoder, layers), [str(i) for i in range(len(CORPUS))], stop()
    with pytest.raises(KeyboardInterrupt):
        extract(plan, ids, CORPUS, tmp_path / "v", lambda done, total: done and next(crash))
    assert not is_finished(tmp_path / "v")
    extract(plan, ids, CORPUS, tmp_path / "v")
    contents = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "v", tmp_path / "whole")
    ]
    assert contents[0] == contents[1]
    assert damaged_files(tmp_path / "v") == []


@pytest.mark.parametrize("layers", [(), (0, 2)])
def test_damage_is_found_and_repaired(encoder: Encoder, tmp_path: Path, layers: tuple[int, ...]) -> None:
    sound = stored(encoder, tmp_path / "v", layers).final()
    shard = tmp_path / "v" / "final" / "c" / "1" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert damaged_files(tmp_path / "v") == [shard]
    again = stored(encoder, tmp_path / "v", layers)
    remake_damaged(again.store)
    assert shard.read_bytes() == whole
    np.testing.assert_array_equal(again.final(), sound)
    (tmp_path / "v" / GROUP).write_bytes(b"{}")
    np.testing.assert_array_equal(stored_by_name(encoder, tmp_path, layers).final(), sound)


def stored_by_name(encoder: Encoder, tmp_path: Path, layers: tuple[int, ...]) -> Representations:
    """The store under the name that the cache gives it, by which a damaged description is recognised."""
    folder = tmp_path / f"{planned(encoder, layers).key[:32]}.zarr"
    (tmp_path / "v").rename(folder)
    return stored(encoder, folder, layers)


def test_the_layers_are_in_the_key_and_in_the_size(encoder: Encoder) -> None:
    plans = [planned(encoder, layers) for layers in (None, *LAYERS)]
    assert len({plan.key for plan in plans}) == len(plans)
    assert planned(encoder, ()).n_bytes == len(CORPUS) * 4 * encoder.width
    assert planned(encoder, None).n_bytes == planned(encoder, (0, 1, 2)).n_bytes


def test_layers_that_the_model_does_not_have(encoder: Encoder) -> None:
    with pytest.raises(SettingsError, match=r"layer 3 is to be stored, but the last layer of .* is 2"):
        planned(encoder, (0, 3))


@pytest.mark.parametrize(
    ("layers", "message"), [((2, 0), r"not in ascending order.*\n.*write \[0, 2\]"), ((1, 1), "1"), ((-1,), "-1")]
)
def test_layers_that_are_no_list_of_layers(layers: tuple[int, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ExtractionSettings(layers=layers)


def test_a_finished_store_says_which_layers_it_has(encoder: Encoder, tmp_path: Path) -> None:
    stored(encoder, tmp_path / "v", (0, 2))
    store = open_store(tmp_path / "v")
    assert (store.depth, store.stored_layers) == (3, (0, 2))
