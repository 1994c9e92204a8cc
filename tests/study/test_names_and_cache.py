"""Names that tell two models apart, ids that a run file can hold, the folder of the cache, JSON without NaN."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retroscope.collection.collection import Collection
from retroscope.collection.records import Judgment, Query
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import CollectionError, SettingsError
from retroscope.files.documents import as_json, clean
from retroscope.inputs.cache import default_cache
from retroscope.inputs.load import check_ids, collection_of, distinct_ends, pair_of
from retroscope.inputs.settings import ModelSettings
from tiny_study import Tiny


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("a/model", "b/model", ("a/model", "b/model")),
        ("/x/run1/final/model", "/x/run2/final/model", ("run1/final/model", "run2/final/model")),
        ("model", "b/model", ("model", "b/model")),
        ("a/one", "a/two", ("one", "two")),
        ("a/model", "a/model", None),
        ("a/model/", "a/model", None),
        ("", "", None),
    ],
)
def test_paths_are_told_apart_by_their_shortest_different_ends(
    one: str, two: str, expected: tuple[str, str] | None
) -> None:
    assert distinct_ends(one, two) == expected


@given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abc"), min_size=1))
def test_different_ends_differ_and_are_ends(one: list[str], two: list[str]) -> None:
    ends = distinct_ends("/".join(one), "/".join(two))
    if one == two:
        assert ends is None
    else:
        assert ends is not None
        assert ends[0] != ends[1]
        assert "/".join(one).endswith(ends[0])
        assert "/".join(two).endswith(ends[1])


def test_two_models_in_folders_of_one_name_are_told_apart(tiny: Tiny, tmp_path: Path) -> None:
    for parent, folder in (("A", tiny.backbone), ("B", tiny.retriever)):
        shutil.copytree(folder, tmp_path / parent / "model")
    load = LoadSettings(pooling="mean")
    sides = [ModelSettings(source=str(tmp_path / parent / "model"), load=load) for parent in ("A", "B")]
    assert [r.name for r in pair_of(*sides)] == ["A/model", "B/model"]
    named = replace(sides[1], load=replace(load, name="model"))
    assert [r.name for r in pair_of(sides[0], named)] == ["model", "model"]  # the user's word stands


def test_what_is_not_named_is_an_error() -> None:
    with pytest.raises(
        SettingsError, match=r"the settings name no backbone\n  fix: give the folder or hub name of the backbone"
    ):
        pair_of(None, None)
    with pytest.raises(SettingsError, match="no collection was given"):
        collection_of(None)


def test_ids_with_white_space_are_refused_and_slashes_are_not(collection: Collection) -> None:
    def renamed(query_id: str) -> Collection:
        return replace(
            collection,
            queries={query_id: Query(query_id, "ana")},
            judgments=(Judgment(query_id, next(iter(collection.passages)), 1),),
        )

    check_ids(renamed("a/b#c"))
    with pytest.raises(CollectionError, match=r"white space, which a TREC run file cannot represent:\n  - 'a b'"):
        check_ids(renamed("a b"))


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETROSCOPE_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("RETROSCOPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "retroscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "retroscope"


def test_documents_are_json() -> None:
    value = {"a": np.float64("nan"), 1: (np.int64(3), float("inf"), {"b": np.str_("x")}), "c": np.bool_(True)}
    assert json.loads(as_json(clean(value))) == {"a": None, "1": [3, None, {"b": "x"}], "c": True}
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"a": float("nan")})
