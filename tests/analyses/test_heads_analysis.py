"""The analysis of attention heads: planted heads are found, nothing else is, and a control fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analyses_one import context_of, measured, reported, subject_of
from planted_heads import COPYING, NAMES, make_copying, make_names
from retroscope.analyses.context import Context
from retroscope.analyses.heads import ANALYSIS
from retroscope.analyses.heads.halves import choosing_half, sharing_groups, without_run, without_shared
from retroscope.analyses.heads.result import HeadResult
from retroscope.analyses.heads.searches import head_searches
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.attribution.heads import margins
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.whole_search import WholeSearch
from retroscope.statistics.settings import ComparisonSettings
from retroscope.typesetting.statements import State
from tiny_study import QUICK, Tiny

STUDY = StudySettings(measures=("RR@10",), statistics=ComparisonSettings(resamples=200, permutations=200))
SETTINGS = HeadSettings(limit=0, top=1, sample=3, draws=3, subjects={f"q{i}": name for i, name in enumerate(NAMES)})
PLANTED = ".".join(map(str, COPYING))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A pair of which one copies the subject and the other does not."""
    home = tmp_path_factory.mktemp("copying")
    models = {"before": make_copying(home / "blind", copies=False), "after": make_copying(home / "copying")}
    return Context(models, make_names(), STUDY, home / "cache")


@pytest.fixture(scope="module")
def planted(context: Context, tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, HeadResult, Section]:
    measurement = measured(ANALYSIS, context, SETTINGS, tmp_path_factory.mktemp("m") / "heads")
    return (measurement, *reported(ANALYSIS, [measurement], subject_of(context)))


def test_the_planted_head_carries_the_margin_and_no_other(planted: tuple[Measurement, HeadResult, Section]) -> None:
    _, result, section = planted
    after = result.sides["after"]
    assert after.top == (PLANTED,)
    assert after.carrying["head"].tolist() == [PLANTED]
    others = after.table[after.table["head"] != PLANTED]
    assert others["effect"].abs().max() < 0.01 * after.carrying["effect"].abs().max()
    assert (others["p_corrected"] > 0.05).all() or others["effect"].abs().max() < 1e-3
    assert after.errors["all"].correlation > 0.95
    states = {s.code: s.state for s in section.statements}
    assert states["carry.after"] == State.SIGNIFICANT
    assert states["change"] == State.SIGNIFICANT


def test_no_head_carries_it_where_none_copies(planted: tuple[Measurement, HeadResult, Section]) -> None:
    """Control: the model without the copying head."""
    _, result, section = planted
    assert result.sides["before"].carrying.empty
    assert {s.code: s.state for s in section.statements}["carry.before"] == State.NOT_SIGNIFICANT


def test_retrieval_falls_without_it_and_not_without_random_heads(
    planted: tuple[Measurement, HeadResult, Section],
) -> None:
    _, result, section = planted
    (effect,) = result.sides["after"].sets
    assert effect.intact == 1
    assert effect.top < 0.5
    assert effect.lowest == 1
    assert effect.p_queries < 0.001
    assert effect.p_draws == pytest.approx(1 / 4)  # three equal draws: the exact probability, so nothing is claimed
    assert {s.code: s.state for s in section.statements}["retrieval.after"] == State.NOT_SIGNIFICANT


def test_it_attends_to_the_subject(planted: tuple[Measurement, HeadResult, Section]) -> None:
    measurement, result, _ = planted
    shares = measurement.frames["after/attention"]
    to_subject = shares.query("tower == 'query' and attending == 'pooled' and kind == 'subject'")
    place = (to_subject["layer"] == COPYING[0]) & (to_subject["head"] == COPYING[1])
    assert to_subject.loc[place, "share"].item() > 0.99
    assert to_subject.loc[~place, "share"].max() == pytest.approx(1 / 8)  # attends to all alike
    assert result.shift is not None
    table = result.shift.table.sel(head=PLANTED, kind="subject")
    assert float(table["effect"]) > 0.5
    assert float(table["p_corrected"]) < 0.001
    assert result.sides["after"].eager["gap"] <= result.sides["after"].eager["limit"]


def test_the_section_is_complete(planted: tuple[Measurement, HeadResult, Section]) -> None:
    _, _, section = planted
    assert {figure.name for figure in section.figures} == {"head_estimates", "head_errors"}
    assert {"heads_before", "head_retrieval_after", "head_change", "head_attention"} <= set(section.tables)
    assert [row["head"] for row in section.document["after"]["heads"] if row["carries"]] == [PLANTED]


def test_a_stopped_run_goes_on(context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything is in the cells of the first run: no head is fixed again."""
    instrument = ANALYSIS.instrument()
    first = instrument.measure(context, SETTINGS, instrument.plan(context, SETTINGS))
    monkeypatch.setattr(margins, "fixed_heads", None)
    monkeypatch.setattr("retroscope.analyses.heads.searches.fixed_heads", None)
    second = instrument.measure(context, SETTINGS, instrument.plan(context, SETTINGS))
    for name, scores in first.scores.items():
        np.testing.assert_array_equal(scores.values, second.scores[name].values)


def test_one_model_alone_is_reported(context: Context, tmp_path: Path) -> None:
    one = replace(context, models={"model": context.models["after"]})
    settings = replace(SETTINGS, attention=False, tower="query")
    measurement = measured(ANALYSIS, one, settings, tmp_path / "heads")
    from retroscope.analyses.section import Reading

    section = ANALYSIS.reporter().alone(measurement, Reading(subject_of(one)))
    assert [s.code for s in section.statements] == ["carry.model", "retrieval.model", "estimates.model"]
    assert section.statements[0].state == State.SIGNIFICANT


def test_a_trained_pair_is_measured(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, replace(QUICK, measures=("RR@10",)))
    measurement = measured(ANALYSIS, context, HeadSettings(limit=40, top=2, sample=2, draws=2), tmp_path / "heads")
    result, section = reported(ANALYSIS, [measurement], subject_of(context))
    assert result.change is not None
    assert measurement.scores["after/exact"].values.sizes["query"] == 20
    assert not np.isnan(measurement.scores["after/exact"].values).any()
    assert all(s.text.endswith(".") for s in section.statements)


def test_the_controls_of_a_head_are_those_that_were_drawn(planted: tuple[Measurement, HeadResult, Section]) -> None:
    """No other top head and none of the random sample is among them."""
    measurement, result, _ = planted
    after = result.sides["after"]
    controls = measurement.facts["controls"][PLANTED.split(".")[0]]
    assert not {*controls} & {head for heads in measurement.facts["top"].values() for head in heads}
    table = after.table.set_index("head")
    expected = table.loc[PLANTED, "effect"] - table.loc[controls, "effect"].mean()
    assert table.loc[PLANTED, "beyond"] == pytest.approx(expected)
    others = [head for head in result.sides["before"].top if head not in after.top]
    assert [table.loc[head, "role"] for head in others] == ["other's top"] * len(others)


def test_one_pooled_token_is_a_caveat(planted: tuple[Measurement, HeadResult, Section]) -> None:
    assert any("pools one token (cls)" in note for note in planted[0].caveats)


def shared_collection() -> Collection:
    """Return queries a-f: a and b have one text, b and c one passage, d and e passages of one text, f is alone."""
    texts = {"a": "one", "b": "One ", "c": "two", "d": "three", "e": "four", "f": "five"}
    passages = {"p": "x", "q": "y", "r": "Z z", "s": "z  Z", "t": "w"}
    judged = [("a", "p"), ("b", "q"), ("c", "q"), ("d", "r"), ("e", "s"), ("f", "t")]
    return make_collection(
        "shared",
        [Passage(i, text) for i, text in passages.items()],
        [Query(i, text) for i, text in texts.items()],
        [Judgment(*pair) for pair in judged],
    )


def test_a_cutoff_beyond_the_searched_passages_is_a_caveat(context: Context) -> None:
    n = len(context.collection.passages)

    def notes(*measures: str, whole: WholeSearch | None = None) -> list[str]:
        searches = head_searches(context, replace(SETTINGS, measures=measures), [], [])
        found: list[str] = replace(searches, whole=whole).facts()["notes"]
        return [note for note in found if note.endswith("use a smaller cut-off")]

    assert notes("RR@10", f"R@{n - 1}") == []
    (one,) = notes("RR@10", f"R@{n}")
    assert one.startswith(f"R@{n} uses the first {n} passages of a ranking, but the corpus has only {n}")
    (one,) = notes(f"R@{n}", whole=WholeSearch((), {}, {}))
    assert "the sample has" in one


def test_halves_share_no_text_and_no_relevant_passage() -> None:
    collection = shared_collection()
    a, b, c, d, e, f = sharing_groups(collection, list("abcdef"))
    assert a == b == c
    assert d == e
    assert len({a, d, f}) == 3
    assert choosing_half(collection, list("fabcde")).tolist() == [False, True, True, True, False, False]
    assert without_shared(collection, list("abcdef"), ["b", "d"]) == ["f"]


def test_queries_whose_relevant_passage_was_a_negative_of_the_choosing_ones_are_not_searched() -> None:
    collection = shared_collection()
    assert without_run(collection, list("abcdef"), ["s", "t"]) == list("abc")  # d's passage has the text of s
    queries = [f"q{k}" for k in range(120)]
    large = make_collection(
        "large",
        [Passage(f"p{k}", f"text {k}") for k in range(120)],
        [Query(query, f"query {k}") for k, query in enumerate(queries)],
        [Judgment(query, f"p{k}") for k, query in enumerate(queries)],
    )
    searched = Context({}, large, STUDY, Path("cache"))
    choosing, negatives = queries[:20], [f"p{k}" for k in range(20, 40)]
    held_out = head_searches(searched, SETTINGS, choosing, negatives)
    assert set(held_out.searched.queries) == set(queries[40:])
    assert not held_out.run
    few = head_searches(searched, SETTINGS, queries[:60], [f"p{k}" for k in range(60, 80)])
    assert set(few.searched.queries) == set(queries[60:])
    assert "20 of the searched queries have a relevant passage that was the negative" in few.facts()["notes"][1]


def test_queries_that_share_nothing_choose_and_test_by_turns() -> None:
    assert choosing_half(make_names(), [f"q{i}" for i in range(5)]).tolist() == [True, False, True, False, True]


def test_queries_that_cannot_be_divided_are_refused(context: Context) -> None:
    """Control: three groups, of which no half could have two."""
    reason = ANALYSIS.instrument().refusal(replace(context, collection=shared_collection()), SETTINGS)
    assert "3 groups" in reason
    assert ANALYSIS.instrument().refusal(context, SETTINGS) == ""


def test_a_wrong_tower_is_refused() -> None:
    with pytest.raises(SettingsError, match="tower"):
        HeadSettings(tower="querry")


def test_queries_that_share_a_negative_share_a_passage(planted: tuple[Measurement, HeadResult, Section]) -> None:
    """A hard negative that is a hub moves the margins of all its queries together."""
    measurement, _, _ = planted
    relevant = make_names().relevant
    for name in ("margin", "estimates", "exact"):
        scores = measurement.scores[f"after/{name}"]
        assert set(scores.passages) == set(scores.query_ids)
        for query, (positive, negative) in scores.passages.items():
            assert (positive,) == relevant[query]
            assert negative not in relevant[query]
    assert measurement.scores["after/attention"].passages == relevant  # no negative is attended to
