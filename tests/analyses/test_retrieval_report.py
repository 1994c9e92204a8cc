"""What a report says of retrieval, on results whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from retroscope.analyses.layers.report import report as report_layers
from retroscope.analyses.retrieval.figures import measures_figure, query_pairs
from retroscope.analyses.retrieval.flips import FLIPS_SHOWN, flip_frame, flipped_queries
from retroscope.analyses.retrieval.report import report
from retroscope.analyses.retrieval.result import RetrievalEffect
from retroscope.errors import AnalysisError, SettingsError
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.typesetting.latex import booktabs
from retroscope.typesetting.statements import State, Statement
from synthetic_retrieval import layer_result, rankings, retrieval_result
from synthetic_subject import EVIL, LAYERS, N_QUERIES, compare, model, query_ids, reading

NOISE = np.random.default_rng(5).standard_normal(N_QUERIES)


def two_sides(change: np.ndarray, margin: float | None) -> Difference:
    rng = np.random.default_rng(3)
    base = rng.random(N_QUERIES)
    coords = {"query": query_ids(), "measure": ["nDCG@10"]}
    before, after = (
        Scores("retrieval", xr.DataArray(v[:, None], coords=coords, dims=("query", "measure")))
        for v in (base, base + change)
    )
    return compare(before, after, margin=margin)


def headline(change: np.ndarray, margin: float | None = 0.01) -> Statement:
    result = retrieval_result(effect=two_sides(change, margin), flip_measure="nDCG@10")
    (statement,) = [s for s in report(result, reading()).statements if s.headline]
    return statement


def test_a_gain_is_a_change() -> None:
    statement = headline(0.1 + 0.1 * NOISE)
    assert statement.state == State.SIGNIFICANT
    assert statement.text.startswith("Fine-tuning raised nDCG@10 from ")
    assert "holm-corrected p < 0.001" in statement.text


def test_a_loss_is_a_change_downwards() -> None:
    assert headline(-0.1 + 0.1 * NOISE).text.startswith("Fine-tuning lowered nDCG@10")


def test_small_and_sure_is_equivalent() -> None:
    centred = 0.01 * (NOISE - NOISE.mean())
    statement = headline(centred)
    assert statement.state == State.EQUIVALENT
    assert "equivalent before and after fine-tuning, within a margin of 0.01" in statement.text
    assert "no evidence" not in statement.text.lower()


def test_unsure_is_not_significant_and_not_equivalence() -> None:
    statement = headline(0.045 + 0.5 * (NOISE - NOISE.mean()), margin=0.08)
    assert statement.state == State.NOT_SIGNIFICANT
    assert statement.text.startswith("No significant change of nDCG@10")
    assert "Equivalence within 0.08 is not significant either" in statement.text


def test_an_interval_wider_than_the_margin_has_too_few_queries() -> None:
    """Not even an effect of 0 would be equivalent; the text says how many queries would narrow it."""
    statement = headline(0.5 * (NOISE - NOISE.mean()))
    assert statement.state == State.TOO_FEW
    number = statement.estimate
    assert number is not None
    needed = math.ceil(number.n * ((number.high - number.low) / 2 / 0.01) ** 2)
    assert f"Too few queries: about {needed:,} would narrow the interval to +-0.01." in statement.text


def test_without_a_margin_equivalence_is_not_claimed() -> None:
    statement = headline(0.01 * (NOISE - NOISE.mean()), margin=None)
    assert statement.state == State.NOT_SIGNIFICANT
    assert "Equivalence was not tested" in statement.text


def test_a_sure_but_negligible_change_says_both() -> None:
    statement = headline(0.002 + 0.001 * NOISE)
    assert statement.state == State.SIGNIFICANT
    assert "significant but negligible" in statement.text


def test_the_tally_of_queries_adds_up() -> None:
    result = retrieval_result()
    row = result.effect.table.sel(measure="nDCG@10")
    said = report(result, reading()).statements[0].text
    tally = (
        f"{int(row['wins'])} score higher after fine-tuning, {int(row['ties'])} equal and {int(row['losses'])} lower"
    )
    assert f"Of 240 queries, {tally}." in said
    assert int(row["wins"] + row["ties"] + row["losses"]) == N_QUERIES


def test_several_trainings_are_named_where_numbers_are_of_one() -> None:
    one, three = (report(retrieval_result(), reading(trainings=n)) for n in (1, 3))
    assert "this training run alone" not in one.statements[0].text + one.tables["retrieval"].note
    assert three.statements[0].text.endswith("The interval and p describe this training run alone, over queries.")
    assert three.tables["retrieval"].note.endswith(" Intervals and p-values describe this training run alone.")


def test_the_other_measures_are_told_after_the_headline() -> None:
    first, second = report(retrieval_result(), reading()).statements
    assert first.headline
    assert not second.headline
    assert second.text.startswith("Of 2 other measures, ")


def test_an_unmeasured_headline_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"unknown measure .* 'nDCG@11'\n  fix: did you mean 'nDCG@10'"):
        retrieval_result(headline="nDCG@11")
    with pytest.raises(SettingsError, match=r"unknown measure .* 'RRR'"):
        retrieval_result(flip_measure="RRR")


def test_a_difference_whose_method_is_silent_is_an_error() -> None:
    silent = retrieval_result(effect=replace(retrieval_result().effect, method={}))
    with pytest.raises(
        AnalysisError, match=r"lacks 'correction' in its field `method`, which tables need\n  fix: .*`compare_scores`"
    ):
        report(silent, reading())


def test_the_best_layer_is_described() -> None:
    for seed in (1, 9):
        (said,) = report_layers(layer_result(seed), reading()).statements
        assert "layer 6 (post-norm) after" in said.text
    (said,) = report_layers(layer_result(), reading()).statements
    assert "reaches the highest nDCG@10 at layer 5 before fine-tuning" in said.text


def test_flips_show_losses_beside_gains() -> None:
    shown = flipped_queries(retrieval_result())
    assert len(shown) == FLIPS_SHOWN
    assert sum(q.change < 0 for q in shown) == FLIPS_SHOWN // 2
    assert [abs(q.change) for q in shown] == sorted((abs(q.change) for q in shown), reverse=True)


def test_flips_hold_every_changed_query_once() -> None:
    row = retrieval_result().effect.table.sel(measure="RR")
    frame = flip_frame(retrieval_result())
    assert frame["query_id"].is_unique
    assert len(frame) == int(row["wins"] + row["losses"]) == N_QUERIES - int(row["ties"])


def test_flips_count_gains_and_losses() -> None:
    row = retrieval_result().effect.table.sel(measure="RR")
    tally = query_pairs(retrieval_result()).groupby("change")["queries"].sum()
    assert tally["higher after fine-tuning"] == int(row["wins"])
    assert tally["lower after fine-tuning"] == int(row["losses"])


def test_figures_hold_the_right_number_of_points() -> None:
    sections = (report(retrieval_result(), reading()), report_layers(layer_result(), reading()))
    specs = {figure.name: figure.specification for section in sections for figure in section.figures}
    assert list(specs) == ["retrieval", "flips", "layer_retrieval", "chosen_layers", "similarities"]
    data = {name: max(spec["datasets"].values(), key=len) for name, spec in specs.items() if "datasets" in spec}
    assert len(data["retrieval"]) == 3 * 2
    assert len(data["layer_retrieval"]) == len(LAYERS) * 2
    assert sum(point["queries"] for point in data["flips"]) == N_QUERIES


def test_a_result_without_a_measured_query_has_no_figure_of_measures() -> None:
    before = retrieval_result().effect.before
    empty = replace(before, values=before.values * np.nan)
    assert measures_figure(compare(empty, empty)) is None


def test_marks_are_explained_where_they_are_used() -> None:
    table = report(retrieval_result(), reading()).tables["retrieval"]
    assert table.frame["effect"].str.contains("*", regex=False).any()
    assert "holm-corrected p below 0.05, 0.01, 0.001" in table.note
    assert "No mark: neither a difference nor equivalence is significant." in table.note


def test_every_table_is_sound_latex_whatever_the_names() -> None:
    result = retrieval_result(rankings=rankings(EVIL))
    result = replace(result, by_collection=(*result.by_collection, RetrievalEffect(EVIL, result.effect)))
    evil = reading(models={"before": model(EVIL), "after": model("toy")})
    for name, table in report(result, evil).tables.items():
        latex = booktabs(table, name)
        assert "\\input" not in latex
        cells = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
        assert len(cells) == 1
        assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
