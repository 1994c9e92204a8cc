"""`embed`: a zarr group whose vectors stand in the file's order, whatever the lines are."""

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import CollectionError, EncoderError, RepresentationError, SettingsError
from retroscope.inputs.load import TextLines
from retroscope.inputs.settings import ModelSettings, StudySettings
from retroscope.study.embed import as_new_folder, describe_embedding, embed, plan_embedding, read_lines
from retroscope.study.settings import from_values
from tiny_study import Tiny
from toys import save_toy

LINES = [
    "which physician bought a dog",
    "ana is a doctor",
    "which physician bought a dog",  # a duplicate
    "größe 日本語 🐕",
    "a\u2028b",  # a line break to Unicode, not to a file of lines
    "ana",
]


@pytest.fixture
def settings(tiny: Tiny) -> StudySettings:
    return from_values({"after": {"source": str(tiny.retriever), "load": {"pooling": "mean", "query_prompt": "dog "}}})


def test_vectors_stand_in_the_order_of_the_file(settings: StudySettings, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\n".join(LINES).encode() + b"\n")
    planned = plan_embedding(settings, read_lines(file), "passage")
    document = embed(planned, tmp_path / "out")
    group = zarr.open_group(tmp_path / "out", mode="r")
    vectors = group["vectors"]
    assert isinstance(vectors, zarr.Array)
    assert vectors.metadata.to_dict()["dimension_names"] == ("text", "layer", "dim")
    assert vectors.shape == (6, 3, 32)
    expected = torch.stack([encode_layers(planned.encoder, [line]).layers[0] for line in LINES])
    found = np.asarray(vectors[:])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert (found[0] == found[2]).all()
    assert not np.allclose(found[0], found[1])
    assert (document["texts"], document["distinct"], document["layers"]) == (6, 5, 3)


def test_the_tower_decides_the_prompt(settings: StudySettings, tmp_path: Path) -> None:
    for tower in ("query", "passage"):
        embed(plan_embedding(settings, LINES, tower), tmp_path / tower)
    query, passage = (np.asarray(zarr.open_group(tmp_path / t, mode="r")["vectors"]) for t in ("query", "passage"))
    assert not np.allclose(query, passage)
    embed(plan_embedding(settings, [f"dog {line}" for line in LINES], "passage"), tmp_path / "by hand")
    np.testing.assert_array_equal(query, np.asarray(zarr.open_group(tmp_path / "by hand", mode="r")["vectors"]))


def test_the_same_texts_go_on_and_others_are_refused(settings: StudySettings, tmp_path: Path) -> None:
    progress_calls: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    first = embed(plan_embedding(settings, LINES, "passage"), out)
    again = plan_embedding(settings, LINES, "passage")
    assert embed(again, out, lambda *step: progress_calls.append(step)) == first
    assert progress_calls == []
    with pytest.raises(RepresentationError, match=r"something else|other"):
        embed(plan_embedding(settings, LINES[1:], "passage"), out)


def test_an_empty_folder_is_filled_and_a_full_one_refused(settings: StudySettings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    embed(plan_embedding(settings, LINES, "passage"), tmp_path / "empty")
    assert zarr.open_group(tmp_path / "empty", mode="r")["vectors"].shape == (6, 3, 32)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(RepresentationError, match="do not belong to a vector store"):
        embed(plan_embedding(settings, LINES, "passage"), tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"


def test_the_plan_says_what_will_be_written(settings: StudySettings, tmp_path: Path) -> None:
    description = describe_embedding(plan_embedding(settings, LINES, "query"), tmp_path / "out")
    assert "retriever, query tower: " in description
    assert "prompt='dog '" in description
    assert "6 texts, 5 distinct, 0 that reach the maximum length" in description
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_tell_texts_apart_is_refused(tmp_path: Path) -> None:
    model = ModelSettings(source=str(save_toy("llama", tmp_path / "llama")), load=LoadSettings(pooling="cls"))
    settings = StudySettings(after=model)
    with pytest.raises(EncoderError, match="different texts have one and the same vector"):
        plan_embedding(settings, ["a text", "another text"], "passage")


def test_an_unknown_tower_is_an_error(settings: StudySettings) -> None:
    with pytest.raises(SettingsError, match="unknown tower 'pasage'\n  fix: did you mean 'passage'"):
        plan_embedding(settings, LINES, "pasage")


def test_no_model_is_an_error() -> None:
    with pytest.raises(SettingsError, match="the settings name no model"):
        plan_embedding(StudySettings(), LINES, "passage")


def test_no_source_is_an_error() -> None:
    with pytest.raises(SettingsError, match="one source, or from a query source and a passage source"):
        plan_embedding(StudySettings(after=ModelSettings()), LINES, "passage")


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
        ("a\u2028b\x85c\n".encode(), ["a\u2028b\x85c"]),
        (b" a \n", [" a "]),
    ],
)
def test_a_line_is_a_text(tmp_path: Path, content: bytes, texts: list[str]) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(content)
    assert read_lines(file) == texts
    lines = TextLines(file)
    assert (len(lines), list(lines), list(lines)) == (len(texts), texts, texts), "it can be read again"


def test_texts_that_change_while_they_are_encoded_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a\nb\n")
    lines = TextLines(file)
    file.write_text("a\nb\nc\n")
    with pytest.raises(CollectionError, match="this file has changed since it was read"):
        list(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"these lines have no text:\n  - line 1\n  fix: remove these lines"),
        (b"a\n\nb\n \n", r"these lines have no text:\n  - line 2\n  - line 4"),
    ],
)
def test_a_file_that_holds_no_texts_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(content)
    with pytest.raises(CollectionError, match=message) as wrong:
        read_lines(file)
    assert wrong.value.where == str(file)


def test_the_first_byte_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes(b"a\nb\xff\n")
    with pytest.raises(CollectionError, match=r"not UTF-8: invalid start byte \(byte 3 of the file\)") as wrong:
        read_lines(file)
    assert wrong.value.where == f"{file}, line 2"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="no such file"):
        read_lines(tmp_path / "none.txt")
    with pytest.raises(CollectionError, match="this is a folder, not a file"):
        read_lines(tmp_path)


def test_files_of_somebody_else_are_refused_and_never_to_be_removed(settings: StudySettings, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    zarr.open_group(tmp_path / "other", mode="w").create_array("vectors", shape=(2,), dtype="f4")
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    (tmp_path / "file").write_text("mine")
    for name in ("thesis", "other", "link", "file"):
        with pytest.raises(RepresentationError, match="do not belong to a vector store") as refused:
            as_new_folder(tmp_path / name)
        assert refused.value.fix == "give another folder"
    with pytest.raises(RepresentationError, match="do not belong to a vector store"):
        embed(plan_embedding(settings, LINES, "passage"), tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_links_are_followed_and_the_current_folder_stays(
    settings: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    out = as_new_folder(tmp_path / "link")
    embed(plan_embedding(settings, LINES, "passage"), out)
    assert (tmp_path / "link").is_symlink()
    assert zarr.open_group(tmp_path / "real", mode="r").attrs["done"] == len(LINES)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="the folder of the vectors cannot be the current folder"):
        as_new_folder(Path("."))


def test_what_a_killed_run_left_in_a_store_is_removed(settings: StudySettings, tmp_path: Path) -> None:
    planned, out = plan_embedding(settings, LINES, "passage"), tmp_path / "out"
    embed(planned, out)
    whole = sorted(out.rglob("*"))
    zarr.open_group(out, mode="r+").attrs["done"] = 0
    (out / "vectors" / "c" / "0" / "0" / "0.abc.partial").touch()
    embed(planned, out)
    assert sorted(out.rglob("*")) == whole
    (out / ".shards").mkdir()
    (out / ".shards" / "00000000.json").touch()
    embed(planned, out)
    assert sorted(out.rglob("*")) == whole, "records go with the run that finishes the store, or with the next one"
