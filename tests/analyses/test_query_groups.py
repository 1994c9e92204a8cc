"""Retrieval by group of queries: a planted gain of one group is found there and in no other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analyses_one import context_of, measured
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.groups import ANALYSIS
from retroscope.analyses.groups.question import WHICH
from retroscope.analyses.groups.report import by_group, infer, report
from retroscope.analyses.groups.result import GROUPS, GroupsResult
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.collection.collection import make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.errors import CollectionError
from retroscope.inputs.settings import StudySettings
from retroscope.scores import Scores
from retroscope.typesetting.statements import State
from synthetic_subject import EVIL, compare, query_ids
from synthetic_subject import subject as made_up_subject
from tiny_study import Tiny

N = len(query_ids())


def scores(values: np.ndarray) -> Scores:
    array = xr.DataArray(values[:, None], {"query": query_ids(), "measure": ["nDCG@10"]}, ["query", "measure"])
    return Scores("retrieval", array)


def planted(groups: Mapping[str, str], gaining: str, gain: float = 0.3) -> tuple[GroupsResult, Section]:
    """The result where one group gains, and all else is noise of equal mean."""
    rng = np.random.default_rng(4)
    before, noise = rng.uniform(0.2, 0.5, N), rng.normal(0, 0.05, N)
    gains = np.array([gain * (groups.get(name) == gaining) for name in query_ids()])
    effect = compare(scores(before), scores(before + noise + gains))
    retrieval = RetrievalResult((RetrievalEffect("toy", effect),), "nDCG@10", "nDCG@10")
    frame = pd.DataFrame({"query_id": list(groups), "group": list(groups.values())})
    reading = Reading(made_up_subject(), {"retrieval": retrieval})
    result = infer([Measurement(frames={GROUPS: frame})], reading)
    assert result is not None
    return result, report(result, reading)


def thirds(*names: str) -> dict[str, str]:
    return {query: names[k % len(names)] for k, query in enumerate(query_ids())}


def test_a_planted_gain_is_found_in_its_group_and_nowhere_else() -> None:
    result, section = planted(thirds("who", "when", "where"), "when")
    assert section.statements[0].text.startswith("when (80 queries): Fine-tuning raised nDCG@10")
    states = {s.text.partition(" ")[0]: s.state for s in section.statements}
    assert states.pop("when") is State.SIGNIFICANT
    assert State.SIGNIFICANT not in states.values()
    (card,) = section.cards
    assert (card.question, card.answer.partition(" +")[0]) == (WHICH, "when")
    assert result.effect.table["n"].values.tolist() == [N / 3] * 3


def test_groups_without_an_effect_are_claimed_as_seldom_as_the_level_says() -> None:
    """All groups are one family: 6 true nulls, each study claims one with a probability of .05 at most."""
    claimed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        before = rng.uniform(0.2, 0.5, N)
        after = before + rng.normal(0, 0.1, N)
        groups = pd.Series(thirds(*"abcdef"))
        effect = compare(*(by_group(one.select(measure="nDCG@10"), groups) for one in (scores(before), scores(after))))
        claimed += bool((effect.table["p_corrected"] < 0.05).any())
    assert claimed <= 6, "binomial(40, .05) exceeds 6 with a probability of .003"


def test_a_query_without_a_group_counts_in_none() -> None:
    groups = {name: group for name, group in thirds("a", "b", "").items() if group}
    result, _ = planted(groups, "a")
    assert result.effect.table["group"].values.tolist() == ["a", "b"]
    assert int(result.effect.table["n"].sum()) == N - N // 3


def test_the_effect_on_a_group_is_that_of_its_queries_alone() -> None:
    groups = thirds("a", "b")
    result, _ = planted(groups, "a")
    mine = [k for k, name in enumerate(query_ids()) if groups[name] == "a"]
    change = (result.effect.after.values - result.effect.before.values).sel(group="a").values
    assert np.isnan(np.delete(change, mine)).all()
    assert float(result.effect.table.sel(group="a")["effect"]) == pytest.approx(float(change[mine].mean()))


def test_any_name_of_a_group_is_text() -> None:
    _, section = planted(thirds(EVIL, "plain"), EVIL)
    (card,) = section.cards
    assert len(card.answer) < 80
    assert {s.code for s in section.statements} == {"group_1", "group_2"}
    assert section.figures[0].specification


def test_a_collection_without_groups_has_no_such_section(tiny: Tiny, cache: Path) -> None:
    assert ANALYSIS.instrument is not None
    instrument, context = ANALYSIS.instrument(), context_of(tiny, cache, StudySettings())
    assert instrument.refusal(context, NoSettings()) == "the queries of this collection have no groups"
    queries = list(context.collection.queries.values())
    for names, refused in ((("one",), True), (("one", "two"), False)):
        grouped = [replace(query, group=names[k % len(names)]) for k, query in enumerate(queries)]
        collection = make_collection("toy", context.collection.passages.values(), grouped, context.collection.judgments)
        assert bool(instrument.refusal(replace(context, collection=collection), NoSettings())) is refused
    planned = instrument.plan(replace(context, collection=collection), NoSettings())
    assert planned.lines == (f"groups of queries: one {len(queries) // 2}, two {len(queries) // 2}",)


def test_the_group_of_every_judged_query_is_kept(tiny: Tiny, cache: Path, tmp_path: Path) -> None:
    context = context_of(tiny, cache, StudySettings())
    queries = [replace(q, group="x" if k % 2 else "y") for k, q in enumerate(context.collection.queries.values())]
    collection = make_collection("toy", context.collection.passages.values(), queries, context.collection.judgments)
    kept = measured(ANALYSIS, replace(context, collection=collection), NoSettings(), tmp_path / "groups")
    assert dict(kept.frames[GROUPS].to_records(index=False).tolist()) == {q.id: q.group for q in queries}


def beir(folder: Path, metadata: str) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "p", "text": "tea"}\n')
    (folder / "queries.jsonl").write_text(f'{{"_id": "q", "text": "drink", "metadata": {metadata}}}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp\t1\n")
    return folder


@pytest.mark.parametrize(
    ("metadata", "group"),
    [('{"group": "who"}', "who"), ("{}", ""), ("null", ""), ('"text"', ""), ('{"group": null}', ""), ("[1]", "")],
)
def test_the_metadata_of_a_beir_query_names_its_group(tmp_path: Path, metadata: str, group: str) -> None:
    assert load_collection(beir(tmp_path / "data", metadata)).queries["q"].group == group


def test_a_group_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=r"queries.jsonl, line 1: .*group"):
        load_collection(beir(tmp_path / "data", '{"group": 3}'))


def test_groups_are_part_of_what_identifies_a_collection() -> None:
    def one(group: str) -> str:
        query = Query("q", "drink", group=group)
        return make_collection("toy", [Passage("p", "tea")], [query], [Judgment("q", "p")]).fingerprint

    assert len({one(""), one("a"), one("b")}) == 3


def test_a_world_names_who_was_known(tmp_path: Path) -> None:
    world = write_world(make_world(WorldSettings(people=40, seed=0)), tmp_path / "world")
    collection = load_collection(world, split="test")
    assert {query.group for query in collection.queries.values()} == {"known people", "unknown people"}
