"""What a study makes once: tokens, copies with random weights, the verdict; and what a stopped one makes again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from transformers import PreTrainedTokenizerBase

from retroscope.analyses import analyses, context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Section
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.token_memory import TokenMemory
from retroscope.errors import AnalysisError, SettingsError
from retroscope.files.cache_records import RECORD, record_of
from retroscope.inputs.settings import NegativesSettings, StudySettings
from retroscope.study import run
from retroscope.study.outcome import StudyOutcome
from retroscope.study.planning.plan import StudyPlan, plan_study
from retroscope.study.reporting import report
from retroscope.study.reporting.report import Report, render
from retroscope.study.run import KEPT, forget, run_study
from retroscope.study.study import Study
from synthetic_subject import subject
from tiny_study import QUICK

VECTORS = replace(QUICK, analyses={**QUICK.analyses, **dict.fromkeys(("neurons", "transplants", "baselines"))})


@pytest.fixture
def planned(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> Callable[[StudySettings], StudyPlan]:
    """Plan a study of the pair in a cache of its own."""
    models = {"before": backbone, "after": retriever}
    return lambda settings: plan_study(models, [collection], settings, cache=tmp_path / "cache")


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """Return the arguments of every call of a function from now on."""
    calls: list[tuple[Any, ...]] = []
    whole = getattr(owner, name)

    def counting(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return whole(*given, **named)

    monkeypatch.setattr(owner, name, counting)
    return calls


def texts_of(collection: Collection) -> list[str]:
    """Return every text of the collection."""
    return [*map(collection.passage_text, collection.passages), *(q.text for q in collection.queries.values())]


def times_each_text(calls: list[tuple[Any, ...]], collection: Collection) -> Counter[str]:
    """Return how often every text of the collection was tokenised."""
    own = set(texts_of(collection))
    texts = (text for _, given, *_ in calls for text in ([given] if isinstance(given, str) else given))
    return Counter(text for text in texts if text in own)


@pytest.mark.parametrize("settings", [VECTORS, QUICK], ids=["vectors", "whole"])
def test_each_text_is_tokenised_once_a_recipe_in_plan_and_run_together(
    settings: StudySettings,
    planned: Callable[[StudySettings], StudyPlan],
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Backbone, retriever and their copies with random weights have one tokenizer and one recipe."""
    calls = counted(monkeypatch, PreTrainedTokenizerBase, "__call__")
    plan = planned(settings)
    assert plan.document() == plan.document()
    assert plan.lines()
    times = times_each_text(calls, collection)
    assert len(times) == len(set(texts_of(collection)))
    run_study(plan)
    assert set(times_each_text(calls, collection).values()) == {1}


def test_without_a_memory_texts_are_tokenised_again(
    planned: Callable[[StudySettings], StudyPlan], collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    calls = counted(monkeypatch, PreTrainedTokenizerBase, "__call__")
    monkeypatch.setattr(TokenMemory.__init__, "__defaults__", (None, 0))
    monkeypatch.setattr(TokenMemory, "_files", lambda *_: [])
    run_study(planned(VECTORS))
    assert min(times_each_text(calls, collection).values()) > 2


def test_another_recipe_has_token_ids_of_its_own(retriever: Retriever) -> None:
    tokens = TokenMemory()
    long = retriever.query.remembering(tokens)
    short = replace(long, recipe=long.recipe.but("test", max_length=4))
    text = "which doctor of arlen bought a dog in march"
    assert tokenise(long, [text, text]) == tokenise(retriever.query, [text]) * 2
    assert [len(row) for row in tokenise(short, [text])] == [4]
    tokenise(long, [text])[0].clear()
    assert tokenise(long, [text]) == tokenise(retriever.query, [text]), "what a caller does to its rows is its own"


def test_a_plan_and_its_run_make_each_copy_each_ranking_and_each_verdict_once(
    planned: Callable[[StudySettings], StudyPlan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = counted(monkeypatch, context, "with_random_weights")
    towers = counted(monkeypatch, context, "plan_towers")
    mined = counted(monkeypatch, context, "hard_negatives")
    tests = counted(monkeypatch, context, "checked")
    verdicts = counted(monkeypatch, report, "verdict")
    plan = planned(VECTORS)
    plan.document()
    assert verdicts == tests == []
    planning = [len(calls) for calls in (copies, towers, mined)]
    assert planning == [2, 3, 1], "copies of both models; their towers, where two copies are the same; the negatives"
    study = run_study(plan)
    study.report(tmp_path / "out")
    outcome = StudyOutcome(plan, study)
    assert outcome.text(None)
    assert outcome.document() == study.summary()
    assert [len(calls) for calls in (copies, mined, verdicts)] == [2, 1, 1]
    assert len(towers) == len(tests) == 4, "both models and their copies"


@pytest.mark.parametrize(
    ("readers", "roles"),
    [
        ((), []),
        (("representations",), ["random weights"]),
        (("probes",), ["random weights"]),
        (("representations", "probes", "baselines"), ["random weights", "random weights, pooled by cls"]),
    ],
)
def test_only_copies_that_an_analysis_reads_are_planned(
    planned: Callable[[StudySettings], StudyPlan], readers: tuple[str, ...], roles: list[str]
) -> None:
    off = [name for name in ("probes", "representations", "baselines", "neurons", "transplants") if name not in readers]
    probes = (
        {"probes": replace(QUICK.analyses["probes"], controls=("none", "random_weights"))}
        if "probes" in readers
        else {}
    )
    plan = planned(replace(QUICK, random_weights=True, analyses={**QUICK.analyses, **dict.fromkeys(off), **probes}))
    copies = [tower["model"] for tower in plan.towers if "random weights" in tower["model"]]
    assert sorted(set(copies)) == roles
    run_study(plan)
    made = [key for key in plan.context._made if isinstance(key, tuple) and key[0] == "random weights"]
    assert bool(made) == bool(roles), "what is planned is made, and nothing else"


def test_without_the_control_no_probe_plans_a_copy(planned: Callable[[StudySettings], StudyPlan]) -> None:
    alone = {**QUICK.analyses, **dict.fromkeys(("representations", "baselines", "neurons", "transplants"))}
    plan = planned(replace(QUICK, analyses={**alone, "probes": replace(QUICK.analyses["probes"], controls=("none",))}))
    assert {tower["model"] for tower in plan.towers} == {"before", "after"}


def test_a_plan_runs_twice_and_measures_once(
    planned: Callable[[StudySettings], StudyPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a finished run kept is read until it is forgotten."""
    plan = planned(VECTORS)
    study = run_study(plan)
    later = planned(VECTORS)
    assert sum(tower["seconds"] for tower in later.towers) == 0, "the vectors are stored"
    again = run_study(later)
    assert [one.facts for one in again.measured["probes"]] == [one.facts for one in study.measured["probes"]]
    kept = plan.context.cache / KEPT
    entries = [path for path in kept.iterdir() if not path.name.endswith(RECORD)]
    assert len(entries) == len(study.measured)
    assert all(record_of(entry).is_file() for entry in entries), "what made each is recorded"
    forget(plan)
    assert [*kept.iterdir()] == []


def test_what_other_code_measured_is_not_taken(
    planned: Callable[[StudySettings], StudyPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout that was updated has the same version, and its numbers may differ."""
    retrieval = replace(VECTORS, random_weights=False, analyses=dict.fromkeys(set(QUICK.analyses) | {"layers"}))
    plan = planned(retrieval)
    run_study(plan)
    measured = counted(monkeypatch, run, "_kept")
    run_study(plan)
    assert measured == [], "the same code goes on with what it kept"
    monkeypatch.setattr(run, "_digest_of", lambda package: f"{package} of another day")
    run_study(plan)
    assert len(measured) == len([step for step in plan.steps if step.planned is not None]) > 0


def test_what_was_kept_of_another_run_file_is_not_taken(
    planned: Callable[[StudySettings], StudyPlan], collection: Collection, tmp_path: Path
) -> None:
    """The file has the same name both times, and other negatives."""
    file, plain = tmp_path / "negatives.run", replace(VECTORS.analyses["probes"], controls=("none",))
    settings = replace(
        VECTORS,
        random_weights=False,
        negatives=NegativesSettings(how="run", run=str(file), pool=20),
        analyses={**VECTORS.analyses, **dict.fromkeys(("layers", "weights", "representations")), "probes": plain},
    )

    def probed(passages: list[str]) -> Measurement:
        ranked = {q: [p for p in passages if p not in collection.qrels[q]][:20] for q in collection.judged_queries}
        lines = [f"{q} Q0 {p} {n} {100 - n} tag" for q, value in ranked.items() for n, p in enumerate(value, start=1)]
        file.write_text("\n".join(lines))
        return run_study(planned(settings)).measured["probes"][0]

    passages = list(collection.passages)
    one, same, other = probed(passages), probed(passages), probed(passages[::-1])
    assert same.seconds == one.seconds, "read, not measured again"
    assert other.facts != one.facts


def test_a_study_prints_as_a_person_reads_it(study: Study) -> None:
    assert repr(study) == str(study)
    assert len(repr(study)) < 250
    assert repr(study).startswith(f"<Study: {study.subject.title}; retrieval, baselines, ")


def test_settings_of_analyses_are_checked_at_the_door(planned: Callable[[StudySettings], StudyPlan]) -> None:
    wrong = replace(QUICK, analyses={"probes": SweepSettings()})
    with pytest.raises(
        SettingsError,
        match=r"the settings of the analysis 'probes' have the type SweepSettings, not ProbeSettings\n  fix: give a",
    ):
        planned(wrong)
    with pytest.raises(SettingsError, match=r"unknown setting 'prboes'\n  fix: did you mean 'probes'"):
        planned(replace(QUICK, analyses={"prboes": None}))
    for name in ("retrieval", "health"):
        assert analyses()[name].required
        with pytest.raises(SettingsError, match=f"'{name}' cannot be left out"):
            planned(replace(QUICK, analyses={name: None}))


def test_a_study_says_what_it_did_not_measure(study: Study) -> None:
    with pytest.raises(SettingsError, match=r"unknown analysis 'probess'\n  fix: did you mean 'probes'"):
        study["probess"]
    with pytest.raises(
        AnalysisError,
        match=r"'training_runs' was not measured in this study\n  fix: use an analysis that was measured: ",
    ):
        study["training_runs"]


def reporting(name: str, section: Section) -> Report:
    return Report(subject(), {name: section})


def test_two_sections_cannot_share_the_name_of_a_table() -> None:
    table = pd.DataFrame({"a": [1]})
    twice = Report(subject(), {name: Section(frames={"numbers": table}) for name in ("layers", "probes")})
    with pytest.raises(ValueError, match="several tables, or several figures, have the name numbers"):
        twice.frames()
    with pytest.raises(ValueError, match="several tables, or several figures, have the name verdict"):
        reporting("layers", Section(frames={"verdict": table})).frames()


@pytest.mark.parametrize("name", ["statement", "figures", "subject"])
def test_a_section_cannot_hide_what_its_template_is_given(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"the section 'health' gives its templates values with reserved names: {name}"
    ):
        render(reporting("health", Section(values={name: 1})))
