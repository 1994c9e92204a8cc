"""The answer of a study: one sentence and a card a question, in 120 words, and what is made of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from huggingface_hub import ModelCard

from retroscope.analyses.card import Card
from retroscope.analyses.health.report import REPORTER as HEALTH
from retroscope.analyses.layers.report import REPORTER as LAYERS
from retroscope.analyses.probes.report import REPORTER as PROBES
from retroscope.analyses.questions import Question
from retroscope.analyses.retrieval.card import cards
from retroscope.analyses.retrieval.report import REPORTER as RETRIEVAL
from retroscope.analyses.retrieval.result import RetrievalEffect, RetrievalResult
from retroscope.analyses.retrieval.words import headline
from retroscope.analyses.section import Reading, Section
from retroscope.errors import AnalysisError, SettingsError
from retroscope.number_format import TIE, p_value, tied_p
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.study.reporting.answer import MOST_WORDS, Answer
from retroscope.study.reporting.console import console_text
from retroscope.study.reporting.controls import controls_of, trust
from retroscope.study.reporting.gate import outcome_of_gate, parse_gate, refuse_unknown
from retroscope.study.reporting.model_card import BEGIN, END, into_card, metric_type, model_card
from retroscope.study.reporting.notebook import answer_html
from retroscope.study.reporting.report import Report, render
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import Subject
from synthetic_probes import accuracy, probe_scores, probes_result
from synthetic_retrieval import layer_result
from synthetic_subject import EVIL, N_QUERIES, collection, compare, model, query_ids, subject, tower

NOISE = np.random.default_rng(5).standard_normal(N_QUERIES)
CENTRED = NOISE - NOISE.mean()
UNSURE = 0.045 + 0.5 * CENTRED
WORD = re.compile(r"\S*\w\S*")
OTHER = "other collection of a long name that nobody can read in one go"


def effect(change: np.ndarray, margin: float | None = 0.01) -> Difference:
    """The paired difference of one measure whose change is known."""
    ids = query_ids()[: len(change)]
    base = np.random.default_rng(3).random(len(change))
    coords = {"query": ids, "measure": ["nDCG@10"]}
    sides = (Scores("retrieval", xr.DataArray(v[:, None], coords=coords, dims=("query", "measure")))
             for v in (base, base + change))  # fmt: skip
    return compare(*sides, margin=margin)


def on_one_side(whole: Difference) -> Difference:
    """The same, as if the retriever had not been measured."""
    return replace(whole, table=whole.table.assign(after=whole.table["after"] * np.nan))


def retrieval(*effects: Difference, names: tuple[str, ...] = ("toy", OTHER)) -> RetrievalResult:
    by_collection = tuple(RetrievalEffect(name, one) for name, one in zip(names, effects, strict=False))
    return RetrievalResult(by_collection, headline="nDCG@10", flip_measure="nDCG@10")


def report_of(result: RetrievalResult, about: Subject | None = None, **more: Section) -> Report:
    """The report of made-up retrieval, with layers and probes."""
    reading = Reading(about or subject())
    made = {"health": HEALTH.report(HEALTH.infer((), reading), reading),
            "retrieval": RETRIEVAL.report(result, reading), "layers": LAYERS.report(layer_result(), reading),
            "probes": PROBES.report(probes_result(), reading)}  # fmt: skip
    return Report(reading.subject, made | more)


def answer_of(report: Report) -> Answer:
    assert report.answer is not None
    return report.answer


def card(report: Report, question: str) -> Card:
    (one,) = [card for card in answer_of(report).cards if card.question == question]
    return one


def words_of_page(report: Report) -> int:
    """The words of the block as it is read: no tags, nothing of the picture and its key."""
    html = render(report)
    block = html[html.index('<section id="answer"') :]
    block = re.sub(r"<figure.*?</figure>", "", block[: block.index("</section>")], flags=re.DOTALL)
    return len(WORD.findall(re.sub(r"<[^>]*>", " ", block)))


STATES: dict[State, Callable[[], tuple[RetrievalResult, Subject]]] = {
    State.SIGNIFICANT: lambda: (retrieval(effect(0.1 + 0.1 * NOISE), effect(-0.1 + 0.1 * NOISE)), subject()),
    State.EQUIVALENT: lambda: (retrieval(effect(0.01 * CENTRED), effect(0.01 * CENTRED)), subject()),
    State.NOT_SIGNIFICANT: lambda: (retrieval(effect(UNSURE, 0.08), effect(UNSURE, 0.08)), subject()),
    State.TOO_FEW: lambda: (retrieval(effect(0.5 * CENTRED), effect(CENTRED[:20], None)), subject()),
    State.NOT_RUN: lambda: (retrieval(on_one_side(effect(0.1 * CENTRED))), subject()),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_an_answer_of_120_words(state: State) -> None:
    result, about = STATES[state]()
    report = report_of(result, about)
    assert answer_of(report).state == state
    assert answer_of(report).words <= MOST_WORDS
    assert words_of_page(report) <= MOST_WORDS
    assert [one.question for one in answer_of(report).cards][-2:] == [Question.TRUST, Question.MISSING]


def test_the_sentence_of_an_equivalent_effect_has_the_p_of_its_equivalence_test() -> None:
    result, about = STATES[State.EQUIVALENT]()
    row = rows(result.effect, measure="nDCG@10").iloc[0]
    equivalence, difference = (p_value(row[p]) for p in ("p_equivalence_corrected", "p_corrected"))
    assert equivalence != difference
    sentence = answer_of(report_of(result, about)).sentence
    assert f"equivalent within 0.01 (equivalence test, {equivalence}): " in sentence
    assert difference not in sentence


def test_a_page_keeps_a_p_value_on_one_line_and_a_terminal_has_plain_spaces() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)))
    number = answer_of(report).cards[0].estimate
    assert number is not None
    assert escape(tied_p(number.p)) in render(report)
    for written in (console_text(report, everything=True), json.dumps(report.document(), ensure_ascii=False)):
        assert TIE not in written
        assert p_value(number.p) in " ".join(written.split())


def test_a_failed_self_test_is_in_the_sentence_and_on_the_card() -> None:
    broken = model("toy-backbone", towers=(tower("query and passage", failed=True),))
    about = subject(models={"before": broken, "after": model("toy-retriever")})
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)), about)
    answer = answer_of(report)
    assert answer.sentence.endswith("Do not rely on it: a self-test failed.")
    trusted = card(report, Question.TRUST)
    assert trusted.state is State.FAILED
    assert "failed: self-tests (before)" in trusted.answer
    assert answer.words <= MOST_WORDS
    assert "What failed" in console_text(report)


def test_controls_are_counted_and_those_that_did_not_pass_are_named() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)))
    assert card(report, Question.TRUST).answer == "7 of 7 controls passed"
    leaking = compare(
        *probe_scores(accuracy=lambda p, c, n, k, s: accuracy(p, "none" if c == "hash_labels" else c, n, k, s))
    )
    failing = PROBES.report(probes_result(effect=leaking), Reading(subject()))
    trusted = card(report_of(retrieval(effect(0.1 + 0.1 * NOISE)), probes=failing), Question.TRUST)
    assert trusted.answer == "6 of 7 controls passed; failed: hash labels"
    assert trusted.state is State.FAILED


def test_undecided_controls_are_not_failed() -> None:
    def of(*states: State, most: int = 1) -> str:
        controls = controls_of([Statement("x", s, "Said.", control=f"c{i}") for i, s in enumerate(states)])
        return trust(controls, controls.failed, most).answer

    assert of(State.MEASURED, State.NOT_SIGNIFICANT) == "1 of 2 controls passed, none failed; undecided: c1"
    assert of(State.MEASURED, State.FAILED, State.TOO_FEW) == "1 of 3 controls passed; failed: c1; undecided: c2"
    no_room = of(State.MEASURED, State.FAILED, State.TOO_FEW, State.TOO_FEW, most=0)
    assert no_room == "1 of 4 controls passed; failed: c1; undecided: 2", "what failed is named whatever the room"
    assert of(State.MEASURED, State.NOT_RUN) == "1 of 1 controls passed, none failed; not run: c1"


def test_an_alarm_that_is_no_control_comes_before_the_controls_that_passed() -> None:
    passed = Statement("x", State.MEASURED, "Said.", control="c")
    alarm = Statement("x", State.FAILED, "Said.", section="weights")
    trusted = trust(controls_of([passed, alarm]), [alarm], 1)
    assert trusted.answer == "Alarm: weights; 1 of 1 controls passed"
    assert trusted.state is State.FAILED


CLOSE_TO_ZERO = "Both values are close to zero."


def at(before: float, after: float, measure: str = "nDCG@10") -> RetrievalResult:
    """Retrieval where the two means are known."""
    ids = query_ids()
    sides = (
        Scores("retrieval", xr.DataArray((mean + 0.01 * CENTRED)[:, None], coords={"query": ids, "measure": [measure]},
                                         dims=("query", "measure")))
        for mean in (before, after)
    )  # fmt: skip
    one = RetrievalEffect("toy", compare(*sides, margin=0.01))
    return RetrievalResult((one,), headline=measure, flip_measure=measure)


@pytest.mark.parametrize(
    ("before", "after", "measure", "near"),
    [
        (0.03, 0.049, "nDCG@10", True),
        (0.049, 0.03, "RR", True),
        (0.03, 0.051, "nDCG@10", False),
        (0.051, 0.03, "nDCG@10", False),
        (0.03, 0.049, "P@10", False),
    ],
)
def test_two_models_close_to_zero_are_said_to_be(before: float, after: float, measure: str, near: bool) -> None:
    """P@10 of queries with one relevant passage is .1 at most: .05 of it is half."""
    result = at(before, after, measure)
    about = subject(measures=(measure,))
    (changed, _) = cards(result, (headline(result, about),), about)
    assert changed.sentence.endswith(CLOSE_TO_ZERO) == near
    assert ("zero" in changed.sentence) == near


@pytest.mark.parametrize("state", STATES)
def test_there_are_words_to_say_close_to_zero(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retroscope.analyses.retrieval.card.FLOOR", 2.0)
    result, about = STATES[state]()
    answer = answer_of(report_of(result, about))
    assert (CLOSE_TO_ZERO in answer.sentence) == (state not in (State.NOT_RUN, State.TOO_FEW))
    assert answer.words <= MOST_WORDS


def test_the_cost_is_that_of_the_worst_collection() -> None:
    lost, kept = effect(-0.1 + 0.1 * NOISE), effect(0.01 * CENTRED)
    about = subject(collections=(collection(), collection(name="near"), collection(name="far")))
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE), kept, lost, names=("toy", "near", "far")), about)
    cost = card(report, Question.COST)
    assert cost.answer == "Retrieval is worse on far (worst of 2)"
    assert cost.estimate is not None
    assert (cost.state, cost.estimate.collection) == (State.SIGNIFICANT, "far")
    equal = card(report_of(retrieval(effect(0.1 + 0.1 * NOISE), kept, names=("toy", "near"))), Question.COST)
    assert (equal.answer, equal.state) == ("Nothing: equivalent within 0.01 on near", State.EQUIVALENT)


def test_what_answers_a_question_comes_before_the_rest() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE), effect(0.01 * CENTRED)))
    codes = [s.name for s in report.verdict.everything()]
    assert codes[0] == "retrieval.headline"
    assert codes.index("retrieval.other_collection") < codes.index("probes.onset")
    assert {s.section for s in report.verdict.everything()} == {"health", "retrieval", "layers", "probes"}
    assert all(s.code for s in report.verdict.everything())


def test_what_was_not_measured_names_the_option_that_would() -> None:
    settings = {"random_weights": False, "weights": None}
    report = report_of(
        retrieval(effect(0.1 + 0.1 * NOISE)), subject(settings=settings | {"neurons": None}, too_long=("neurons",))
    )
    assert "more --time" in [one.option for one in answer_of(report).missing if one.what == "neurons"]
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)), subject(settings=settings))
    absent = {one.what: one.option for one in answer_of(report).missing}
    assert absent == {
        "weights": "without --no-weights",
        "random weights": "without --no-random-weights",
        "training runs": "--training MODEL",
        "another collection": "--also SPEC",
    } | {name: f"without --no-{name}{glance}" for name, glance in (
            ("baselines", ""), ("neurons", GLANCE), ("representations", ""), ("transplants", GLANCE)
         ) if settings.get(name, {}) is None}  # fmt: skip
    margin = report_of(retrieval(effect(0.1 * NOISE)), subject(statistics=replace(subject().statistics, margin=None)))
    assert ("equivalence", "--margin X") in [(one.what, one.option) for one in answer_of(margin).missing]


def test_parts_that_settings_left_out_are_not_measured() -> None:
    parts = Section(left_out={"neurons of a tower": "--set both"})
    report = report_of(retrieval(effect(0.1 * NOISE)), neurons=parts)
    assert ("neurons of a tower", "--set both") in [(one.what, one.option) for one in answer_of(report).missing]


GLANCE = " or --depth glance"  # which leaves it out, too


def test_what_was_not_measured_is_listed_whole() -> None:
    """The card names some and counts the rest; page and terminal name all."""
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)), subject(settings={"neurons": None, "heads": None}))
    missing = answer_of(report).missing
    assert len(missing) == 4
    page, printed = render(report), console_text(report, everything=True)
    for one in missing:
        assert f"<li>{one}</li>" in page
        assert f"- {one}\n" in printed
    assert '<a href="#not-measured">list</a>' in page


def test_an_analysis_may_bring_a_question_of_its_own() -> None:
    statement = Statement("tokens", State.MEASURED, "A query has 7 tokens.", estimate=Estimate("tokens", 7.0))
    own = Section(statements=(statement,), cards=(Card("How long are queries?", "Short", statement),))
    asked = [one.question for one in answer_of(report_of(retrieval(effect(0.1 + 0.1 * NOISE)), tokens=own)).cards]
    assert asked[-3:] == ["How long are queries?", Question.TRUST, Question.MISSING]


def test_hostile_names_stay_short_and_text() -> None:
    result = retrieval(effect(0.1 + 0.1 * NOISE), effect(-0.1 + 0.1 * NOISE), names=("toy", f"{EVIL * 1000} \u202e"))
    report = report_of(result)
    assert answer_of(report).words <= MOST_WORDS
    block = render(report)
    block = block[block.index('<section id="answer"') :].split("</section>")[0]
    assert "<script" not in block
    assert len(answer_html(report)) < 6000
    assert "<script" not in answer_html(report)


def test_one_model_has_no_answer() -> None:
    about = subject(models={"model": model("toy")})
    report = Report(about, {"health": HEALTH.report(HEALTH.infer((), Reading(about)), Reading(about))})
    assert report.answer is None
    assert report.document()["answer"] is None
    assert "Self-tests of toy" in console_text(report)
    assert "health" in answer_html(report)
    with pytest.raises(AnalysisError, match="does not compare two models"):
        model_card(report)


def test_page_terminal_notebook_and_json_say_the_same() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE), effect(0.01 * CENTRED)))
    document = report.document()["answer"]
    page, text, html = render(report), " ".join(console_text(report).split()), answer_html(report)
    assert document["sentence"] in text
    for one in answer_of(report).cards:
        assert all(one.answer in printed for printed in (page, text, html)), one
        if one.estimate is not None:
            assert all(str(one.estimate) in printed for printed in (page, text, html))
    first = document["cards"][0]
    assert (first["code"], first["state"], first["n"]) == ("retrieval.headline", "significant", N_QUERIES)
    assert first["interval"][0] < first["effect"] < first["interval"][1]


def test_everything_is_behind_an_option() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)))
    short, long = console_text(report), console_text(report, everything=True)
    assert "Verdict" not in short
    assert short.rstrip().endswith("Whole report: retroscope show DIR --all")
    stored = console_text(report, folder=Path("runs/my study"))
    assert stored.rstrip().endswith("Whole report: retroscope show 'runs/my study' --all")
    assert long.startswith(short.partition("\n\nWhole report")[0])
    assert all(part in long for part in ("Verdict", "Caveats", "Half-widths of intervals"))


# ---- gates


def estimates(low: float, high: float, on: str = "toy") -> list[Estimate]:
    return [Estimate("nDCG@10", (low + high) / 2, low, high, n=100, collection=on)]


@pytest.mark.parametrize(
    ("condition", "low", "high", "holds", "says"),
    [
        ("nDCG@10 >= -0.01", -0.009, 0.02, True, "holds: the lower end of the interval is -0.009"),
        ("nDCG@10 >= -0.01", -0.011, 0.03, False, "is undecided, and so does not hold"),
        ("nDCG@10 >= -0.01", -0.05, -0.02, False, "the whole interval is beyond -0.01"),
        ("nDCG@10>0", 0.0, 0.02, False, "is undecided"),
        ("nDCG@10 <= .1", -0.2, 0.05, True, "holds: the upper end of the interval is +0.050"),
        ("mean nDCG@10 >= 0", -0.05, 0.06, True, "holds: the estimate is +0.005"),
        ("nDCG@10 on far >= 0", 0.1, 0.2, False, "nDCG@10 was not measured on far"),
    ],
)
def test_a_gate_asks_the_interval(condition: str, low: float, high: float, holds: bool, says: str) -> None:
    outcome = outcome_of_gate(parse_gate(condition), estimates(low, high), "toy")
    assert (outcome.holds, says in outcome.text) == (holds, True), outcome.text


def test_an_undecided_gate_says_how_many_queries_would_decide() -> None:
    outcome = outcome_of_gate(parse_gate("nDCG@10 >= -0.01"), estimates(-0.03, 0.03), "toy")
    assert "about 900 queries would decide the gate if the estimate stays the same" in outcome.text


def test_no_gate_holds_where_a_self_test_failed() -> None:
    outcome = outcome_of_gate(parse_gate("nDCG@10 >= 0"), estimates(0.1, 0.2), "toy", ["toy failed a self-test"])
    assert (outcome.holds, "toy failed a self-test" in outcome.text) == (False, True)


@pytest.mark.parametrize("text", ["nDCG@10", "nDCG@10 = 0", ">= 0", "nDCG@10 >= nan", "nDCG@10 >= x", ""])
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="invalid condition"):
        parse_gate(text)


def test_a_gate_on_what_is_not_measured_is_refused_with_a_suggestion() -> None:
    gate = parse_gate("nDCG(dcg='exp-log2')@10 on scifakt >= 0")
    assert (gate.measure, gate.collection) == ("nDCG(dcg='exp-log2')@10", "scifakt")
    with pytest.raises(SettingsError, match="unknown measure of --gate 'ndcg@10'") as error:
        refuse_unknown([parse_gate("ndcg@10 >= 0")], ["nDCG@10", "RR@10"])
    assert "did you mean 'nDCG@10'?" in str(error.value)
    with pytest.raises(SettingsError, match="unknown collection of --gate 'scifakt'"):
        refuse_unknown([gate], [gate.measure], ["nq", "scifact"])


# ---- model card


def test_the_hub_reads_the_metadata_of_a_model_card() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE), effect(0.01 * CENTRED)))
    results = ModelCard(model_card(report)).data.eval_results
    row = report.sections["retrieval"].estimates[0]
    assert [(one.dataset_name, one.metric_type) for one in results] == [("toy", "ndcg_at_10"), (OTHER, "ndcg_at_10")]
    assert results[0].metric_value == pytest.approx(row.after)
    assert results[0].metric_args["change"] == pytest.approx(row.value)
    assert [metric_type(name) for name in ("RR@10", "R@100", "AP", "P@5", "ERR")] == [
        "mrr_at_10", "recall_at_100", "map", "precision_at_5", "err",
    ]  # fmt: skip


def test_a_section_is_replaced_and_all_else_of_a_card_stays() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE)))
    other = report_of(retrieval(effect(-0.1 + 0.1 * NOISE)))
    card_text = "---\nlicense: mit\ntags:\n- mine\n---\n\n# My model\n\nWords.\n"
    first = into_card(report, card_text)
    again = into_card(other, first)
    assert again.count(BEGIN) == again.count(END) == 1
    assert ("Fine-tuning raised" in first, "Fine-tuning raised" in again) == (True, False)
    read = ModelCard(again)
    assert (read.data.license, read.data.tags, len(read.data.eval_results)) == ("mit", ["mine"], 1)
    assert "# My model\n\nWords." in again
    with pytest.raises(SettingsError, match=r"here\.md: the metadata of this model card cannot be read"):
        into_card(report, "---\nmodel-index: 3\n---\n", "here.md")


def test_hostile_names_are_text_in_a_model_card() -> None:
    report = report_of(retrieval(effect(0.1 + 0.1 * NOISE), names=(f"{EVIL}\n| a | b",)))
    section = model_card(report).partition(BEGIN)[2]
    assert "<script" not in section.replace("\\<", "")
    assert all(line.replace("\\|", "").count("|") in (0, 5, 8) for line in section.splitlines())


# ---- numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Estimate("nDCG@10", 0.1234, 0.1, 0.15), "nDCG@10 +0.123 [+0.100, +0.150]"),
        (Estimate("accuracy", 0.5, kind=Kind.SCORE), "accuracy 0.500"),
        (Estimate("of the gain", 0.21, 0.1, 0.31, kind=Kind.SHARE), "21 % [10, 31] of the gain"),
        (Estimate("of the gain", -0.05, kind=Kind.SHARE), "-5.0 % of the gain"),
    ],
)
def test_a_number_is_printed_with_its_name(number: Estimate, text: str) -> None:
    assert str(number) == text


def test_every_statement_is_an_object_in_the_summary() -> None:
    summary: dict[str, Any] = report_of(retrieval(effect(0.1 + 0.1 * NOISE))).document()
    first = summary["statements"][0]
    assert list(first) == [
        "code", "topic", "section", "state", "caution", "control", "text", "doubts", "figure", "measure", "kind",
        "effect", "interval", "p", "n", "before", "after",
    ]  # fmt: skip
    assert {one["state"] for one in summary["statements"]} <= {str(state) for state in State}
