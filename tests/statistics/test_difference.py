"""compare_scores: paired by id, exact under exchange, and honest about what it could not test."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.errors import AnalysisError, SettingsError
from retroscope.scores import Scores
from retroscope.statistics import ComparisonSettings, Flip, compare_scores, correct_together, mcnemar, paired_t, tost

QUICK = {"resamples": 200, "permutations": 200}


def scores(values, name="probing", ids=None, warnings=()):
    values = np.asarray(values, dtype=float)
    coords = {"query": ids if ids is not None else [f"q{i:03d}" for i in range(len(values))]}
    dims = ("query", "layer", "probe")[: values.ndim]
    if values.ndim > 1:
        coords["layer"] = list(range(values.shape[1]))
    if values.ndim > 2:
        coords["probe"] = [f"p{i}" for i in range(values.shape[2])]
    return Scores(name, xr.DataArray(values, dims=dims, coords=coords), warnings=tuple(warnings))


def example(seed=1, shape=(60, 3, 2)):
    """Layer 0 holds 0/1 outcomes, the others reciprocal ranks; probe p1 improves."""
    random = np.random.default_rng(seed)
    before, after = 1 / random.geometric(0.5, (2, *shape))
    after[:, :, 1] = np.where(random.random(shape[:2]) < 0.5, 1.0, after[:, :, 1])
    before[:, 0], after[:, 0] = before[:, 0] == 1, after[:, 0] == 1
    return before, after


def test_the_table_holds_what_the_parts_say():
    before, after = example()
    difference = compare_scores(scores(before), scores(after), ComparisonSettings(margin=0.1, **QUICK))
    cell = difference.table.sel(layer=2, probe="p1")
    b, a = before[:, 2, 1], after[:, 2, 1]
    assert cell["effect"].item() == pytest.approx((a - b).mean())
    assert cell["before"].item() == pytest.approx(b.mean())
    assert cell["after"].item() == pytest.approx(a.mean())
    assert cell["p"].item() == paired_t(b[:, None], a[:, None])[0]
    assert cell["p_equivalence"].item() == pytest.approx(tost(b[:, None], a[:, None], 0.1)[0])
    assert (cell["wins"], cell["ties"], cell["losses"]) == ((a > b).sum(), (a == b).sum(), (a < b).sum())
    assert cell["n"] == 60
    for low, mean, high in (("before_low", "before", "before_high"), ("ci_low", "effect", "ci_high")):
        assert cell[low] < cell[mean] < cell[high]
    assert difference.table["p_corrected"].values.min() == pytest.approx(6 * difference.table["p"].values.min())
    assert difference.warnings == ()


def test_auto_takes_mcnemar_for_outcomes_and_t_for_the_rest_and_says_so():
    before, after = example()
    difference = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK))
    assert difference.table["test_used"].sel(layer=0).values.tolist() == ["mcnemar", "mcnemar"]
    assert (difference.table["test_used"].sel(layer=[1, 2]) == "paired_t").all()
    assert difference.method["tests_used"] == {"mcnemar": 2, "paired_t": 4}
    assert (difference.table["p"].sel(layer=0).values == mcnemar(before[:, 0], after[:, 0])).all()


def test_queries_are_paired_by_id_and_not_by_position():
    before, after = example()
    straight = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK))
    ids = np.array([f"q{i:03d}" for i in range(60)])
    order = np.random.default_rng(2).permutation(60)
    shuffled = compare_scores(scores(before), scores(after[order], ids=ids[order]), ComparisonSettings(**QUICK))
    xr.testing.assert_identical(straight.table, shuffled.table)
    assert straight.flips(layer=1, probe="p0") == shuffled.flips(layer=1, probe="p0")
    by_position = compare_scores(scores(before), scores(after[order]), ComparisonSettings(**QUICK))
    assert not (by_position.table["p"] == straight.table["p"]).all()


@given(st.randoms(use_true_random=False), st.sampled_from(["auto", "sign_flip", "wilcoxon"]))
@settings(max_examples=15)
def test_the_order_of_the_queries_changes_nothing_to_the_last_bit(shuffler, test):
    before, after = example()
    chosen = ComparisonSettings(test=test, correction="max_t", margin=0.05, **QUICK)
    ids = [f"q{i:03d}" for i in range(60)]
    order = list(range(60))
    shuffler.shuffle(order)
    straight = compare_scores(scores(before), scores(after), chosen)
    moved_ids = [ids[i] for i in order]
    moved = compare_scores(scores(before[order], ids=moved_ids), scores(after[order], ids=moved_ids), chosen)
    xr.testing.assert_identical(straight.table, moved.table)


@pytest.mark.parametrize("test", ["auto", "sign_flip"])
def test_swapping_the_sides_flips_the_sign_of_the_effect_exactly(test):
    before, after = (scores(side) for side in example())
    chosen = ComparisonSettings(test=test, margin=0.05, **QUICK)
    one, other = compare_scores(before, after, chosen).table, compare_scores(after, before, chosen).table
    for mine, theirs in (("effect", "effect"), ("ci_low", "ci_high"), ("ci_high", "ci_low")):
        assert (one[mine] == -other[theirs]).all()
    for mine, theirs in (("wins", "losses"), ("before", "after"), ("ties", "ties"), ("p", "p")):
        assert (one[mine] == other[theirs]).all()
    np.testing.assert_allclose(one["p_equivalence"], other["p_equivalence"], rtol=1e-12)


def test_the_same_retriever_twice_is_no_difference_and_is_equivalent():
    before, _ = example()
    difference = compare_scores(scores(before), scores(before), ComparisonSettings(margin=0.01, **QUICK))
    for column in ("effect", "wins", "losses"):
        assert (difference.table[column] == 0).all()
    outcomes, ranks = difference.table.sel(layer=0), difference.table.sel(layer=[1, 2])
    assert (ranks["ci_low"] == 0).all()
    assert (ranks["ci_high"] == 0).all()
    assert (difference.table["p"] == 1).all()
    assert (difference.table["p_corrected"] == 1).all()
    assert ranks["equivalent"].all()
    assert not outcomes["equivalent"].any(), "60 outcomes cannot show that no more than 1 % change"
    assert difference.warnings == ()


def test_a_large_p_is_not_equivalence():
    random = np.random.default_rng(3)
    before, after = random.random((2, 12, 4))
    table = compare_scores(scores(before), scores(after), ComparisonSettings(margin=0.01, **QUICK)).table
    assert (table["p"] > 0.05).any()
    assert not table["equivalent"].any()


def test_without_a_margin_no_equivalence_is_claimed():
    before, after = example()
    table = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK)).table
    assert table["p_equivalence"].isnull().all()
    assert not table["equivalent"].any()


def test_too_few_pairs_are_nan_and_named_and_no_part_of_the_family():
    before, after = example()
    after[1:, 2, 0] = np.nan
    difference = compare_scores(scores(before), scores(after), ComparisonSettings(margin=0.1, **QUICK))
    cell = difference.table.sel(layer=2, probe="p0")
    assert np.isnan([cell[c].item() for c in ("p", "p_corrected", "ci_low", "before_high", "p_equivalence")]).all()
    assert cell["test_used"] == "none"
    assert not cell["equivalent"]
    assert difference.method["family_sizes"] == [5]
    assert any(
        "scores with fewer than 2 queries measured" in w and "layer=2, probe=p0" in w for w in difference.warnings
    )
    assert any("59 queries lack some of their scores before or after" in w for w in difference.warnings)


def test_means_are_those_of_the_paired_queries():
    before, after = example()
    before[:10, 1, 0], after[10:20, 1, 0] = np.nan, np.nan
    cell = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK)).table.sel(layer=1, probe="p0")
    assert cell["n"] == 40
    assert cell["before"].item() == pytest.approx(before[20:, 1, 0].mean())
    assert (cell["after"] - cell["before"]).item() == pytest.approx(cell["effect"].item())
    assert cell["p"].item() == pytest.approx(paired_t(before[20:, 1, :1], after[20:, 1, :1])[0])


def test_different_queries_are_an_error():
    before, after = example()
    with pytest.raises(AnalysisError, match=r"(?s)in only one of the two sets of scores:.*q059"):
        compare_scores(scores(before), scores(after[:-1]))


def test_families_are_separate_where_asked():
    before, after = example()
    whole = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK))
    split = compare_scores(scores(before), scores(after), ComparisonSettings(family_per=("probe",), **QUICK))
    assert whole.method["family_sizes"] == [6]
    assert split.method["family_sizes"] == [3, 3]
    for probe in ("p0", "p1"):
        one = split.table.sel(probe=probe)
        alone = compare_scores(
            scores(before).select(probe=[probe]), scores(after).select(probe=[probe]), ComparisonSettings(**QUICK)
        )
        np.testing.assert_array_equal(one["p_corrected"], alone.table["p_corrected"].squeeze())
    each = compare_scores(scores(before), scores(after), ComparisonSettings(family_per=("layer", "probe"), **QUICK))
    assert each.method["family_sizes"] == [1] * 6
    assert (each.table["p_corrected"] == each.table["p"]).all()
    with pytest.raises(SettingsError, match=r"unknown dimension 'prob'\n  fix: did you mean 'probe'"):
        compare_scores(scores(before), scores(after), ComparisonSettings(family_per=("prob",), **QUICK))


def test_tables_are_corrected_together():
    before, after = example()
    differences = [
        compare_scores(scores(before[:, [k]]), scores(after[:, [k]]), ComparisonSettings(**QUICK)) for k in range(3)
    ]
    whole = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK))
    together = correct_together(differences, "holm", "three layers")
    for layer, one in enumerate(together):
        np.testing.assert_allclose(one.table["p_corrected"][0], whole.table["p_corrected"][layer])
        assert (one.method["family"], one.method["family_sizes"]) == ("three layers", [6])
    assert correct_together([], "holm", "nothing") == ()
    with pytest.raises(SettingsError, match=r"'max_t' cannot correct several tables together"):
        correct_together(differences, "max_t", "three layers")


def test_flips_are_the_changed_queries_biggest_first_ties_by_id():
    before = scores([[1.0], [0.0], [0.5], [0.25], [1.0]], ids=["e", "d", "c", "b", "a"])
    after = scores([[0.0], [1.0], [0.5], [0.5], [np.nan]], ids=["e", "d", "c", "b", "a"])
    difference = compare_scores(before, after, ComparisonSettings(**QUICK))
    flips = difference.flips(layer=0)
    assert flips == [Flip("d", 0, 1, 1), Flip("e", 1, 0, -1), Flip("b", 0.25, 0.5, 0.25)]
    assert difference.flips(1, layer=0) == flips[:1]
    assert difference.flips() == flips  # only one cell: nothing to name


def test_flips_of_more_than_one_cell_are_refused_with_advice():
    before, after = example()
    difference = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK))
    with pytest.raises(
        AnalysisError,
        match=r"several labels are left in the dimensions layer\n  fix: choose one label .*, e.g. flips\(layer=",
    ):
        difference.flips(probe="p0")
    with pytest.raises(SettingsError, match=r"unknown dimension 'leyer'\n  fix: did you mean 'layer'"):
        difference.flips(leyer=1)
    with pytest.raises(
        AnalysisError, match=r"no scores with the labels {'layer': 9}\n  fix: for layer, use one of 0, 1, 2"
    ):
        difference.flips(layer=9)


def test_the_frame_has_one_row_per_cell():
    before, after = example()
    frame = compare_scores(scores(before), scores(after), ComparisonSettings(**QUICK)).to_frame()
    assert len(frame) == 6
    assert list(frame.columns[:2]) == ["layer", "probe"]
    assert {"effect", "p_corrected", "test_used", "equivalent"} <= set(frame.columns)


def test_scores_without_labels_have_one_cell():
    before, after = example()
    difference = compare_scores(scores(before[:, 1, 1]), scores(after[:, 1, 1]), ComparisonSettings(**QUICK))
    assert difference.table["effect"].item() > 0
    assert len(difference.to_frame()) == 1
    assert difference.flips(1)[0].change > 0
    lonely = compare_scores(scores([1.0]), scores([0.0]), ComparisonSettings(**QUICK))
    assert any("the only cell" in warning for warning in lonely.warnings)


def test_the_method_is_enough_to_repeat_the_numbers_and_is_plain_json():
    before, after = example()
    chosen = ComparisonSettings(test="sign_flip", correction="max_t", seed=7, margin=0.1, family="layers", **QUICK)
    difference = compare_scores(scores(before), scores(after), chosen)
    method = json.loads(json.dumps(dict(difference.method)))
    fields = {name: method[name] for name in ComparisonSettings.__dataclass_fields__}
    again = ComparisonSettings(**{**fields, "family_per": tuple(fields["family_per"])})
    assert again == chosen
    xr.testing.assert_identical(compare_scores(scores(before), scores(after), again).table, difference.table)
    assert method["equivalence_correction"] == "holm"
    assert {"scipy", "statsmodels", "numpy"} <= set(method["versions"])


def test_warnings_and_names_of_the_scores_are_kept():
    before, after = example()
    difference = compare_scores(
        scores(before, "base", warnings=["padding leaks"]), scores(after, "tuned"), ComparisonSettings(**QUICK)
    )
    assert difference.warnings == ("before: padding leaks",)
    assert difference.name == "base to tuned"


def test_too_few_flips_for_the_family_are_pointed_out():
    before, after = example()
    coarse = ComparisonSettings(test="sign_flip", permutations=99, resamples=200)
    (warning,) = compare_scores(scores(before), scores(after), coarse).warnings
    assert "cannot give a corrected p below 0.06 in a family of 6 tests: set permutations to 120 or more" in warning
    enough = ComparisonSettings(test="sign_flip", permutations=120, resamples=200)
    assert compare_scores(scores(before), scores(after), enough).warnings == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"test": "pared_t"}, r"unknown test 'pared_t'\n  fix: did you mean 'paired_t'"),
        ({"correction": "bonferoni"}, r"unknown correction 'bonferoni'\n  fix: did you mean 'bonferroni'"),
        (
            {"margin": -0.1},
            r"margin is -0.1, which is out of range\n  fix: give more than 0 .*: the smallest difference that matters",
        ),
        ({"level": 1.5}, r"level is 1.5, which is out of range\n  fix: give more than 0 and less than 1$"),
        ({"permutations": 0}, r"permutations is 0"),
    ],
)
def test_settings_are_checked_when_they_are_made(wrong, message):
    with pytest.raises(SettingsError, match=message):
        ComparisonSettings(**wrong)


def test_outcomes_without_a_change_leave_room_for_one():
    same = scores(np.ones(40))
    effect = compare_scores(same, same).table
    share = 1 - 0.025 ** (1 / 40)
    assert [effect[name].item() for name in ("ci_low", "ci_high")] == pytest.approx([-share, share])
    assert [effect[name].item() for name in ("before_low", "before_high")] == pytest.approx([1 - share, 1])


@pytest.mark.parametrize("queries", range(3, 9))
def test_interval_and_p_agree_where_every_outcome_was_gained(queries):
    effect = compare_scores(scores(np.zeros(queries)), scores(np.ones(queries))).table
    assert (effect["ci_low"].item() > 0) == (effect["p"].item() < 0.05)


def test_scores_that_are_no_shares_keep_an_effect_of_0_without_a_width():
    """A head without weights changes no margin; margins of other heads are negative or above 1."""
    margins = np.random.default_rng(0).normal(size=(40, 2)) * [0, 3]
    effect = compare_scores(scores(np.zeros((40, 2))), scores(margins)).table.sel(layer=0)
    assert (effect["ci_low"].item(), effect["ci_high"].item()) == (0, 0)
    shares = compare_scores(scores(np.zeros((40, 2))), scores(np.abs(margins) / 100)).table.sel(layer=0)
    assert shares["ci_high"].item() == pytest.approx(1 - 0.025 ** (1 / 40))
