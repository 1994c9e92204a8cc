"""Messages say what is wrong, where, and what to do."""

import pandas as pd
import pytest

from retroscope import errors
from retroscope.errors import (
    SHOWN,
    AnalysisError,
    CollectionError,
    RetroscopeError,
    SettingsError,
    demand_columns,
    did_you_mean,
    listed,
    unknown_name,
)


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


def test_a_table_that_lacks_columns_is_named_with_the_result_that_has_it() -> None:
    with pytest.raises(AnalysisError) as raised:
        demand_columns("shares", pd.DataFrame({"low": []}), ("share", "low", "high"), where="BaselineResult")
    assert str(raised.value) == (
        "BaselineResult: the table 'shares' lacks the columns share, high\n"
        "  fix: give a table with the columns share, low, high"
    )
    demand_columns("shares", pd.DataFrame({"share": [], "low": []}), ("low", "share"), where="BaselineResult")
