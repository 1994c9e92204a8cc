"""Messages say what is wrong, where, and what to do."""

import pytest

from retroscope import errors
from retroscope.errors import SHOWN, CollectionError, RetroscopeError, SettingsError, did_you_mean, listed, unknown_name


def test_a_message_has_place_problem_and_fix() -> None:
    error = CollectionError("empty text", where="corpus.jsonl, line 3", fix="remove the line")
    assert str(error) == "corpus.jsonl, line 3: empty text\n  fix: remove the line"
    assert str(CollectionError("empty text")) == "empty text"


def test_one_except_clause_catches_the_family() -> None:
    family = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(family) == 12
    assert all(issubclass(e, RetroscopeError) for e in family)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("mena", "did you mean 'mean'? Known: cls, max, mean"),
        ("MEAN", "did you mean 'mean'? Known: cls, max, mean"),
        ("ma", "did you mean 'max'"),
        ("zzz", "use one of: cls, max, mean"),
        ("", "use one of: cls, max, mean"),
    ],
)
def test_advice_gives_near_names_first_whatever_their_case(word: str, advice: str) -> None:
    assert did_you_mean(word, {"mean", "cls", "max"}).startswith(advice)


def test_advice_spells_names_as_they_are() -> None:
    assert did_you_mean("ndcg@10", ["nDCG@10", "RR"]).startswith("did you mean 'nDCG@10'?")


def test_an_unknown_name_says_what_kind_of_thing_it_is() -> None:
    error = unknown_name("probe", "cosin", ["cosine", "dot"])
    assert isinstance(error, SettingsError)
    assert str(error) == "unknown probe 'cosin'\n  fix: did you mean 'cosine'? Known: cosine, dot"


def test_long_lists_are_counted_and_not_cut_in_silence() -> None:
    assert listed(["a", "b"]) == "\n  - a\n  - b"
    many = listed([str(i) for i in range(SHOWN + 3)])
    assert many.count("\n") == SHOWN + 1
    assert many.endswith("... and 3 more")
