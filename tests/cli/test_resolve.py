"""From options, file and assignments to settings: protocol < command < file < options < --set."""

from pathlib import Path

import pytest

from retroscope.cli.resolve import resolve, resolved
from retroscope.cli.values import comma_separated, measures, model_values, numbers, shares, split_or_spec
from retroscope.errors import SettingsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(
        "after: {query: old-q, passage: old-p, load: {pooling: cls, max_length: 64}}\n"
        "negatives: {pool: 8}\nstatistics: {test: paired_t, resamples: 3000}\n"
    )
    return path


def test_precedence(file: Path) -> None:
    given = {"after": model_values("new", {"pooling": "mean"}), "protocol": "ielab-2025", "negatives.pool": 4}
    chosen = resolve(given, file, ["negatives.pool=2", "statistics.level=0.9"])
    assert chosen.after is not None
    assert (chosen.after.source, chosen.after.query, chosen.after.passage) == ("new", None, None)
    assert (chosen.after.load.pooling, chosen.after.load.max_length) == ("mean", 64)
    assert (chosen.statistics.resamples, chosen.negatives.pool, chosen.statistics.level) == (3000, 2, 0.9)
    assert chosen.statistics.test == "paired_t"  # the file's, over the protocol's
    assert chosen.statistics.correction == "bonferroni"  # the protocol's
    assert chosen.after.load.protocol == "ielab-2025"


def test_each_source_wins_over_the_one_below(file: Path) -> None:
    pool = "negatives.pool"
    assert resolve({}, None, None).negatives.pool == 100
    assert resolve({}, None, None, unless_given={pool: 4}).negatives.pool == 4
    assert resolve({}, file, None, unless_given={pool: 4}).negatives.pool == 8
    assert resolve({pool: 12}, file, None).negatives.pool == 12
    assert resolve({pool: 12}, file, ["negatives.pool=32"]).negatives.pool == 32
    assert resolve({pool: None}, file, None).negatives.pool == 8


def test_what_is_left_out_is_null_whatever_was_given(file: Path) -> None:
    file.write_text("neurons: {attribution: {limit: 4}}\ntransplants: {groups: 3}\n")
    values = resolved({"transplants.groups": 2}, file, ["transplants.draws=4"], left_out=("transplants", "weights"))
    assert values == {"neurons": {"attribution": {"limit": 4}}, "transplants": None, "weights": None}
    values = resolved({}, file, None, left_out=("neurons.ablation",))
    assert values["neurons"] == {"attribution": {"limit": 4}, "ablation": None}
    assert resolved({}, None, None, left_out=("neurons.ablation",)) == {"neurons": {"ablation": None}}


def test_no_load_option_leaves_the_load_of_the_file(file: Path) -> None:
    chosen = resolve({"after": model_values("new", {})}, file, None)
    assert chosen.after is not None
    assert (chosen.after.load.pooling, chosen.after.load.max_length) == ("cls", 64)


def test_an_unknown_name_is_told_with_its_file(file: Path) -> None:
    file.write_text("negatives: {pol: 8}")
    with pytest.raises(SettingsError, match=r"study\.yaml\.negatives: unknown setting 'pol'\n  fix: .*'pool'"):
        resolve({}, file, None)
    with pytest.raises(SettingsError, match=r"unknown setting 'pol'\n  fix: .*'pool'"):
        resolve({}, None, ["negatives.pol=8"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert", {"source": "bert", "query": None, "passage": None}),
        ("a/b", {"source": "a/b", "query": None, "passage": None}),
        ("query=A,passage=B/c", {"source": None, "query": "A", "passage": "B/c"}),
        ("passage=B,query=A", {"source": None, "query": "A", "passage": "B"}),
    ],
)
def test_a_model_is_a_name_or_two_towers(name: str, expected: dict[str, object]) -> None:
    assert model_values(name, {"pooling": "mean"}) == {**expected, "load": {"pooling": "mean"}}


def test_a_folder_with_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lr=1e-4"
    folder.mkdir()
    assert model_values(str(folder), {})["source"] == str(folder)


@pytest.mark.parametrize("name", ["qeury=A,passage=B", "query=A", "query=A,passage=", "query=A,passage=B,other=C"])
def test_towers_that_are_not_two_are_an_error(name: str) -> None:
    with pytest.raises(
        SettingsError, match=r"invalid model .*\n  fix: write NAME for one model, or query=NAME,passage=NAME"
    ):
        model_values(name, {})


def test_lists_and_numbers() -> None:
    assert comma_separated(None) is None
    assert comma_separated(" a, b,,c ") == ["a", "b", "c"]
    assert numbers("2, 3", "--passages") == [2, 3]
    assert numbers(None, "--passages") is None
    for wrong in ("a", "2,-3", "2.5", "²"):
        with pytest.raises(
            SettingsError,
            match=r"--passages: invalid number .*\n  fix: write whole numbers with commas between them, e\.g\. 2,3",
        ):
            numbers(wrong, "--passages")


def test_shares() -> None:
    assert shares(None, "--fractions") is None
    assert shares("0.1, .5", "--fractions") == [0.1, 0.5]
    with pytest.raises(
        SettingsError,
        match=r"--fractions: invalid list '0\.1,x'\n  fix: write numbers with commas between them, e\.g\. 0\.1,0\.2",
    ):
        shares("0.1,x", "--fractions")


def test_measures_exist() -> None:
    assert measures(None) is None
    assert measures("RR@10, nDCG@10") == ["RR@10", "nDCG@10"]
    with pytest.raises(SettingsError, match=r"unknown measure 'NDGC'"):
        measures("RR@10,NDGC")


def test_a_split_or_a_collection_of_its_own(tmp_path: Path) -> None:
    assert split_or_spec(None, "beir:x") is None
    assert split_or_spec("dev", "beir:x") == {"source": "beir:x", "split": "dev"}
    assert split_or_spec("trec:y", "beir:x") == {"source": "trec:y"}
    assert split_or_spec(str(tmp_path), "beir:x") == {"source": str(tmp_path)}
