"""Ablation curves find planted neurons, spare the others, and say what they were measured on."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from retroscope.analyses.neurons.ablation import trial
from retroscope.analyses.neurons.ablation.curves import ablation_curves
from retroscope.analyses.neurons.ablation.held_out import evaluated_queries
from retroscope.analyses.neurons.ablation.table import area_table, curve_table, shared_by_chance
from retroscope.analyses.neurons.ablation.trial import Counter, encoded
from retroscope.analyses.neurons.ablation.words import ablation_statements
from retroscope.analyses.neurons.result import AblationCurves, AttributedModel
from retroscope.analyses.neurons.settings import NeuronAblationSettings
from retroscope.attribution.ablation import ablated
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import collection_examples
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.selection import NeuronSet, choose, ranked
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.encoders.encode import final_vectors
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.hardware import in_precision
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.precision import EXACT
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError, SettingsError
from retroscope.inputs.texts import texts_of
from retroscope.inputs.whole_search import whole_search
from retroscope.representations.represent import represent
from retroscope.retrieval.retrieve import retrieve
from retroscope.statistics.resampling.intervals import IntervalSettings, bootstrap_mean
from synthetic_attribution import make_attribution
from toys import save_toy

WORDS = (
    "gravity",
    "bends",
    "light",
    "near",
    "heavy",
    "stars",
    "river",
    "floods",
    "spring",
    "book",
    "moon",
    "cat",
    "red",
)
N = 14  # passages; more than the 10 that a measure looks at
FEW = f"only {N} distinct queries are measured: with fewer than 50, most effects remain undecided"
PLANTED = (3, 9, 17, 20)
ALL_PLANTED = len(PLANTED) / 48  # of the 24 hidden units of either block
QUICK = NeuronAblationSettings(fractions=(0.02, ALL_PLANTED), draws=3, measures=("RR@10",))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """Only `PLANTED` hidden units of the second block reach the vector, and only they carry the text to it.

    Dimensions 0-7 of the residual stream hold the text, and the final norm drops them; 8-15 hold what the planted
    units write. RMSNorm scales a token's state and does not turn it, so nothing leaks from the one half to the other
    (under mean pooling it would: the scales weigh the tokens).
    """
    folder = save_toy("llama", tmp_path_factory.mktemp("toy") / "llama")
    attribution = load_encoder(folder, LoadSettings(pooling="last_token", name="planted"))
    text, vector = slice(0, 8), slice(8, 16)
    with torch.no_grad():
        attribution.backbone.embed_tokens.weight[:, vector] = 0
        block: Any
        for block in attribution.anatomy.blocks(attribution.backbone):
            block.self_attn.o_proj.weight[vector] = 0
            carried = block.mlp.down_proj.weight[vector].clone()
            block.mlp.down_proj.weight[vector] = 0
        block.mlp.down_proj.weight[vector, PLANTED] = carried[:, PLANTED]
        block.mlp.down_proj.weight[text, PLANTED] = 0
        attribution.backbone.norm.weight[text] = 0
    return attribution


@pytest.fixture(scope="module")
def retriever(encoder: Encoder) -> Retriever:
    return Retriever("planted", encoder, encoder, "cosine")


@pytest.fixture(scope="module")
def collection() -> Collection:
    """Every query has the words of its passage, so that an intact encoder finds it first."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 9, replace=False)) for _ in range(N)]
    return make_collection(
        "words",
        [Passage(f"p{i:02}", text) for i, text in enumerate(texts)],
        [Query(f"q{i:02}", text) for i, text in enumerate(texts)],
        [Judgment(f"q{i:02}", f"p{i:02}") for i in range(N)],
    )


def naming(
    *chosen: tuple[int, int],
    ids: Sequence[str] = ("q00",),
    passages: dict[str, list[str]] | None = None,
    **recipe: Any,
) -> NeuronAttribution:
    """An attribution whose largest signed values are those of these (layer, hidden unit) pairs, in order."""
    signed = np.full((2, 24), 0.01) * np.linspace(1, 2, 48).reshape(2, 24)
    for place, (layer, neuron) in enumerate(chosen):
        signed[layer - 1, neuron] = 10 - place
    return make_attribution({"intermediate": signed}, ids=ids, recipe=recipe, passages=passages)


@pytest.fixture(scope="module")
def curves(retriever: Retriever, collection: Collection) -> AblationCurves:
    return ablation_curves(retriever, collection, naming(*((2, i) for i in PLANTED)), replace(QUICK, fixed_at="zero"))


def test_without_the_planted_neurons_all_passages_are_alike(curves: AblationCurves) -> None:
    """Fixed at zero they leave zeros, which tie, and ties are ranked by id, the greater first: RR@10 is exact."""
    rank = np.arange(N, 0, -1)
    expected = np.where(rank <= 10, 1 / rank, 0)
    ablation_result = curves.scores.values.sel(how="top", draw=0, fraction=ALL_PLANTED, measure="RR@10")
    assert ablation_result.values == pytest.approx(expected)
    assert (curves.intact.values == 1).all()
    row = curves.table[curves.table.fraction == ALL_PLANTED].iloc[0]
    assert row.top == pytest.approx(expected.mean())
    assert row.below_every_draw
    assert row.p == 1 / 4
    assert row.harm_low > 0
    area = curves.areas.set_index("how").loc["top"]
    assert area.area_low > 0


def test_fixed_at_their_mean_the_planted_neurons_are_missed_as_much(
    retriever: Retriever, collection: Collection
) -> None:
    """All vectors are then equal but for rounding, and the ranking is that of rounding."""
    ablation_result = ablation_curves(retriever, collection, naming(*((2, i) for i in PLANTED)), QUICK)
    row = ablation_result.table.iloc[-1]
    assert row.below_every_draw
    assert row.top < 0.5 < row.random_lowest


def test_neurons_that_do_not_matter_harm_nothing(retriever: Retriever, collection: Collection) -> None:
    """The control: four other units of the same block. What they write, the final norm drops."""
    ablation_result = ablation_curves(retriever, collection, naming((2, 0), (2, 1), (2, 2), (2, 4)), QUICK)
    assert (ablation_result.scores.values.sel(how="top", draw=0) == 1).all()
    assert not ablation_result.table.below_every_draw.any()
    assert (ablation_result.areas.set_index("how").loc["top", "area"]) <= 0


MANY = NeuronAblationSettings(
    fractions=(ALL_PLANTED,), draws=24, measures=("RR@10",)
)  # 1 / 25 where all draws are equal


@pytest.fixture(scope="module")
def with_large_units(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Retriever:
    """The same with all other units of the second block ten times as large: what they write is still dropped."""
    folder = save_toy("llama", tmp_path_factory.mktemp("large") / "llama")
    attribution = load_encoder(folder, LoadSettings(pooling="last_token", name="planted"))
    attribution.backbone.load_state_dict(encoder.backbone.state_dict())
    useless = [i for i in range(24) if i not in PLANTED]
    with torch.no_grad():
        block: Any = attribution.anatomy.blocks(attribution.backbone)[1]
        block.mlp.down_proj.weight[:, useless] *= 10
    return Retriever("large and useless", attribution, attribution, "cosine")


def judged(curves: AblationCurves, attribution: NeuronAttribution) -> str:
    return ablation_statements("model", AttributedModel("toy", attribution, curves))[0].text


def test_small_neurons_that_carry_are_confirmed_where_large_ones_are_useless(
    with_large_units: Retriever, collection: Collection
) -> None:
    """The ranking by size names only useless units; the attribution, the carrying ones."""
    attribution = naming(*((2, i) for i in PLANTED))
    ablation_result = ablation_curves(with_large_units, collection, attribution, MANY)
    text = judged(ablation_result, attribution)
    assert ablation_result.table.shared_with_largest.tolist() == [0]
    assert (ablation_result.scores.values.sel(how="largest", draw=0) == 1).all()  # as without any ablation
    assert ablation_result.fractions_where("confirmed") == (ALL_PLANTED,)
    assert "4 neurons, in 1 of 2 layers" in text


def test_an_attribution_that_only_names_large_neurons_is_not_confirmed(
    retriever: Retriever, collection: Collection
) -> None:
    """Planted units that are also the largest: fixing them harms, and so does the ranking by size, being the same.

    The old rule, against random neurons alone, confirms.
    """
    block: Any = retriever.passage.anatomy.blocks(retriever.passage.backbone)[1]
    kept = block.mlp.down_proj.weight.clone()
    try:
        with torch.no_grad():
            block.mlp.down_proj.weight[:, [i for i in range(24) if i not in PLANTED]] *= 0.01
        attribution = naming(*((2, i) for i in PLANTED))
        ablation_result = ablation_curves(retriever, collection, attribution, MANY)
    finally:
        with torch.no_grad():
            block.mlp.down_proj.weight.copy_(kept)
    text = judged(ablation_result, attribution)
    assert ablation_result.table.shared_with_largest.tolist() == [1]
    assert ablation_result.table.over_random.tolist() == [True]
    assert ablation_result.fractions_where("confirmed") == ()
    assert "no evidence that the attribution finds more than large neurons" in text
    assert "100 % of the top neurons are also among the largest neurons." in text


def test_the_margin_attribution_names_the_planted_neurons(retriever: Retriever, collection: Collection) -> None:
    """From attribution to ablation, on the passage tower: nothing but the planted units can carry the margin."""
    candidates = [Candidates(f"q{i:02}", f"p{i:02}", (f"p{(i + 1) % N:02}", f"p{(i + 5) % N:02}")) for i in range(N)]
    settings = AttributionSettings(target="margin", parts=("intermediate",), quadrature="gauss:4", negatives=2)
    units = collection_examples(retriever, collection, candidates, settings)
    assert [unit.positive for unit in units] == [f"p{i:02}" for i in range(N)]
    attribution = attribute_neurons(plan_attribution(retriever.passage, units, settings, cosine=True))
    second = attribution.neurons["intermediate"]["mean"].sel(layer=2).values
    assert set(np.flatnonzero(second > 1e-5 * second.max())) == set(PLANTED)  # the others: rounding
    everything = replace(QUICK, by="magnitude", fractions=(28 / 48,))  # 24 units of block 1, and the planted 4
    ablation_result = ablation_curves(retriever, collection, attribution, everything)
    assert choose(ranked(attribution, "magnitude"), 28 / 48, "top").neurons["intermediate"] == {
        1: tuple(range(24)),
        2: PLANTED,
    }
    assert ablation_result.table.shared_by_chance.tolist() == pytest.approx([(24 + 4 * 4 / 24) / 28])
    assert ablation_result.recipe["attributed_queries"] == N
    recorded = {name: attribution.scores.values.coords[name].values.tolist() for name in ("positive", "negative")}
    assert recorded == {"positive": [u.positive for u in units], "negative": [u.negative for u in units]}
    assert ablation_result.warnings == (
        *attribution.warnings,
        FEW,
    )  # four nodes are too few for this toy, and it says so


def test_scores_have_one_draw_of_what_is_not_random(curves: AblationCurves) -> None:
    values = curves.scores.values
    assert values.dims == ("query", "how", "draw", "fraction", "measure")
    assert values["how"].values.tolist() == ["top", "signed", "largest", "bottom", "random"]
    assert values.sel(how=["top", "signed", "largest", "bottom"]).isel(draw=slice(1, None)).isnull().all()
    assert values.sel(how="random").notnull().all()
    assert values.isel(draw=0).notnull().all()
    assert curves.scores.query_ids == curves.intact.query_ids
    assert curves.table.neurons.tolist() == [1, 4]
    assert curves.table.layers.tolist() == [1, 1]
    assert curves.areas["how"].tolist() == ["top", "signed", "largest", "bottom"]
    top = choose(ranked(naming(*((2, i) for i in PLANTED)), QUICK.by), ALL_PLANTED, "top")
    assert top == NeuronSet({"intermediate": {2: PLANTED}})
    assert curves.table.shared_by_chance.tolist() == pytest.approx([1 / 24, 4 / 24])


@pytest.mark.parametrize("tower", ["query", "passage", "both"])
def test_intact_is_ordinary_retrieval_and_only_the_ablated_tower_is_encoded_again(
    retriever: Retriever, collection: Collection, tower: str, tmp_path: Path
) -> None:
    heard: list[tuple[str, int, int]] = []
    settings = replace(QUICK, tower=tower, measures=("nDCG@10", "RR@10"))
    ablation_result = ablation_curves(retriever, collection, naming((2, 3)), settings, lambda *said: heard.append(said))
    usual = retrieve(represent(retriever, collection, tmp_path), collection, settings.measures)
    xr.testing.assert_allclose(ablation_result.intact.values, usual.scores.values)
    ablated = (2 if tower == "both" else 1) * N
    assert heard[-1] == ("encoding under ablation", 2 * N + settings.ablations * ablated, heard[-1][2])
    assert heard[-1][1] == heard[-1][2]
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert ablation_result.recipe["towers"] == (["query", "passage"] if tower == "both" else [tower])


def test_fixed_at_zero_and_fixed_at_the_mean_differ_and_repeat(retriever: Retriever, collection: Collection) -> None:
    chosen = naming((1, 0), (1, 5), (2, 3))
    settings = replace(QUICK, measures=("nDCG@10",), fractions=(0.0625, 0.5))
    mean, again = (ablation_curves(retriever, collection, chosen, settings).scores.values for _ in range(2))
    zero = ablation_curves(retriever, collection, chosen, replace(settings, fixed_at="zero")).scores.values
    xr.testing.assert_identical(mean, again)
    assert not mean.equals(zero)


def test_towers_of_other_weights_are_refused_and_other_recipes_are_not(
    encoder: Encoder, collection: Collection, tmp_path: Path
) -> None:
    other = load_encoder(save_toy("llama", tmp_path / "other", seed=1), LoadSettings(pooling="mean"))
    two = Retriever("two towers", other, encoder, "cosine")
    for tower in ("query", "both"):
        with pytest.raises(
            SettingsError,
            match=r"the passage tower was attributed, but the query tower (?s:.)*has other weights(?s:.)*tower=passage",
        ):
            ablation_curves(two, collection, naming((2, 3)), replace(QUICK, tower=tower))
    assert ablation_curves(two, collection, naming((2, 3)), QUICK).recipe["towers"] == ["passage"]
    asked = replace(encoder, recipe=encoder.recipe.but("test", prompt="moon "))
    prompted = Retriever("prompted", asked, encoder, "cosine")
    assert ablation_curves(prompted, collection, naming((2, 3)), replace(QUICK, tower="both")).warnings == (FEW,)


def test_doubts_are_said(retriever: Retriever, collection: Collection) -> None:
    settings = replace(QUICK, fractions=(0.001, 0.002, 0.02))
    ablation_result = ablation_curves(retriever, collection, naming((2, 3), fingerprint="other"), settings)
    other, few, same, queries = ablation_result.warnings
    assert "used other weights, or another recipe, than the ablation" in other
    assert few == "the fractions 0.001, 0.002 of 48 neurons are less than half a neuron, so one neuron was fixed"
    assert same == "several fractions of 48 neurons fix equally many neurons: [1, 1, 1]"
    assert queries == FEW
    assert ablation_result.scores.warnings == ablation_result.warnings
    own = naming((2, 3), fingerprint=retriever.passage.fingerprint)
    assert ablation_curves(retriever, collection, own, replace(QUICK, fractions=(0.02,))).warnings == (FEW,)


def test_held_out_queries_had_no_part_in_the_attribution(retriever: Retriever, collection: Collection) -> None:
    attributed = [f"q{i:02}" for i in range(9)]
    chosen = naming((2, 3), ids=attributed)
    ablation_result = ablation_curves(retriever, collection, chosen, replace(QUICK, held_out=True))
    assert ablation_result.scores.query_ids == [f"q{i:02}" for i in range(9, N)]
    assert (
        ablation_result.recipe["queries"],
        ablation_result.recipe["attributed_queries"],
        ablation_result.recipe["passages"],
    ) == (N - 9, 0, N)
    everything = ablation_curves(retriever, collection, chosen, QUICK)
    assert (everything.recipe["queries"], everything.recipe["attributed_queries"]) == (N, 9)
    same = everything.scores.values.sel(query=ablation_result.scores.query_ids, how="random").drop_vars("text")
    xr.testing.assert_allclose(same, ablation_result.scores.values.sel(how="random").drop_vars("text"))  # numbered anew


def test_a_large_corpus_is_sampled_and_that_is_said(
    retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    attributed = [f"q{i:02}" for i in range(9)]
    chosen = naming((2, 3), ids=attributed, fingerprint=retriever.passage.fingerprint)
    ablation_result = ablation_curves(retriever, collection, chosen, replace(QUICK, held_out=True, passages=6))
    assert {*ablation_result.scores.query_ids} == {*collection.queries} - {*attributed}, "fewer than 50: all are drawn"
    assert {*ablation_result.scores.query_ids}.isdisjoint(attributed)
    assert ablation_result.warnings == (
        f"the neuron ablation searched 7 of {N} passages with 5 of {N - 9} queries",
        "RR@10 uses the first 10 passages of a ranking, but the sample has only 7, so all of them are retrieved and a "
        "recall is 1 for every retriever; use a smaller cut-off",
        "only 5 distinct queries are measured: with fewer than 50, most effects remain undecided",
    )
    known = whole_search(collection, {"planted": represent(retriever, collection, tmp_path)})
    settings = replace(QUICK, held_out=True, passages=6)
    drawn = ablation_curves(retriever, collection, chosen, settings, whole=known)
    (row,) = drawn.recipe["sample"]
    assert (row["model"], row["whole"], row["sample"]) == ("planted", 1.0, 1.0)
    assert any("with the same queries, planted reaches RR@10" in warning for warning in drawn.warnings)
    everything = ablation_curves(retriever, collection, chosen, replace(QUICK, held_out=False, passages=6))
    assert everything.recipe["attributed_queries"] == len({*everything.scores.query_ids} & {*attributed})


def small(judgments: list[tuple[str, str]]) -> Collection:
    """p0 and p9 have one text, as q0 and q9 have."""
    words = {"0": "moon", "1": "red cat", "2": "river", "9": "moon"}
    return make_collection(
        "small",
        [Passage(f"p{i}", text) for i, text in words.items()],
        [Query(f"q{i}", f"where is the {text}") for i, text in words.items()],
        [Judgment(*pair) for pair in judgments],
    )


OWN = [("q0", "p0"), ("q1", "p1"), ("q2", "p2"), ("q9", "p9")]


@pytest.mark.parametrize(
    ("ids", "recipe", "judgments", "kept"),
    [
        (["q0"], {"target": "margin", "tower": "passage"}, OWN, ("q1", "q2")),  # q9 asks the same
        (["q1"], {"target": "score", "tower": "query"}, OWN, ("q0", "q2", "q9")),
        (["q1"], {"target": "margin", "tower": "passage"}, [*OWN, ("q2", "p1")], ("q0", "q9")),  # q2 shares p1
        (["q1"], {"target": "norm", "tower": "query"}, OWN, ("q0", "q2", "q9")),
        (["p0"], {"target": "norm", "tower": "passage"}, OWN, ("q1", "q2")),  # p9 has the same text
        (["elsewhere"], {"target": "margin", "tower": "passage"}, OWN, ("q0", "q1", "q2", "q9")),
    ],
)
def test_what_counts_as_a_part_in_the_attribution(
    ids: list[str], recipe: dict[str, Any], judgments: list[tuple[str, str]], kept: tuple[str, ...]
) -> None:
    attribution = naming((2, 3), ids=ids, **recipe)
    assert evaluated_queries(small(judgments), attribution, held_out=True).ids == kept
    everything = evaluated_queries(small(judgments), attribution, held_out=False)
    assert everything.ids == ("q0", "q1", "q2", "q9")
    assert everything.attributed == {*everything.ids} - {*kept}


@pytest.mark.parametrize(("target", "kept"), [("margin", ("q2",)), ("score", ("q1", "q2"))])
def test_the_relevant_passage_of_a_held_out_query_was_no_negative_either(target: str, kept: tuple[str, ...]) -> None:
    """A margin runs its negative, p1, as it runs the relevant passage, so that q1 had a part. A score has none."""
    attribution = naming((2, 3), ids=["q0"], passages={"positive": ["p0"], "negative": ["p1"]}, target=target)
    assert evaluated_queries(small(OWN), attribution, held_out=True).ids == kept


def test_an_attribution_that_does_not_record_its_negatives_is_refused() -> None:
    attribution = naming((2, 3), ids=["q0"])
    scores = replace(attribution.scores, values=attribution.scores.values.drop_vars("negative"))
    with pytest.raises(
        AnalysisError, match=r"lacks the ids of the negative passages(?s:.)*attribute the neurons again"
    ):
        evaluated_queries(small(OWN), replace(attribution, scores=scores), held_out=True)


def test_by_default_a_curve_has_six_points_and_the_other_ranking_beside_it() -> None:
    settings = NeuronAblationSettings()
    assert len(settings.fractions) == 6
    assert settings.ablations == 6 * (4 + settings.draws)
    assert [replace(settings, by=by).beside for by in ("share", "magnitude", "signed")] == [
        "signed",
        "signed",
        "magnitude",
    ]


def test_no_query_held_out_is_an_error() -> None:
    attribution = naming((2, 3), ids=["q0", "q1", "q2"])
    with pytest.raises(
        AnalysisError,
        match=r"small: all 4 judged queries were used for the attribution(?s:.)*neurons\.attribution\.limit",
    ):
        evaluated_queries(small(OWN), attribution, held_out=True)


def test_the_table_worked_out_by_hand() -> None:
    """Two queries, three draws with means .8, .6 and .5, top at .5: a tie counts against the top."""
    values = np.full((2, 4, 3, 1, 1), np.nan)
    values[:, 0, 0, 0, 0] = [0.6, 0.4]
    values[:, 1, 0, 0, 0] = [0.9, 0.9]
    values[:, 2, :, 0, 0] = [[0.9, 0.6, 0.6], [0.7, 0.6, 0.4]]
    values[:, 3, 0, 0, 0] = [0.7, 0.45]
    labels = {
        "how": ["top", "bottom", "random", "largest"],
        "draw": [0, 1, 2],
        "fraction": [0.01],
        "measure": ["RR@10"],
    }
    scores = xr.DataArray(values, dims=("query", *labels), coords={"query": ["a", "b"], **labels})
    intact = xr.DataArray([[1.0], [0.9]], dims=("query", "measure"), coords={"query": ["a", "b"], "measure": ["RR@10"]})
    settings = IntervalSettings(resamples=200)
    row = curve_table(scores, intact, settings).iloc[0]
    harm = bootstrap_mean(np.array([0.7 - 0.6, 1.7 / 3 - 0.4]), settings)
    expected = {
        "intact": 0.95,
        "top": 0.5,
        "bottom": 0.9,
        "largest": 0.575,
        "random": 1.9 / 3,
        "random_lowest": 0.5,
        "harm": float(harm.mean),
        "harm_over_largest": 0.075,
        "n": 2,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row.harm_low, row.harm_high) == pytest.approx((float(harm.low), float(harm.high)))
    for name, change in (("p_queries", [0.1, 1.7 / 3 - 0.4]), ("p_largest", [0.1, 0.05])):
        t = np.mean(change) / (np.std(change, ddof=1) / np.sqrt(2))
        assert row[name] == pytest.approx(1 - 2 * np.arctan(t) / np.pi)  # Student's law with 1 degree of freedom
    assert (row.below_every_draw, row.p) == (False, 0.5)
    assert (row.p_over_random, row.p_confirmed) == (1, 1)  # a draw as low as the top
    t = (1.9 / 3 - 0.5) / (np.std([0.8, 0.6, 0.5], ddof=1) * np.sqrt(4 / 3))
    assert row.p_draws == pytest.approx(0.5 - t / (2 * np.sqrt(2 + t**2)))  # Student's law with 2 degrees of freedom
    values[0, 0, 0] -= 0.01
    row = curve_table(scores, intact, settings).iloc[0]
    assert (row.below_every_draw, row.p) == (True, 0.25)
    assert row.p_over_random == max(row.p_queries, row.p_draws)  # one fraction: nothing to correct
    assert row.p_confirmed == max(row.p_queries, row.p_draws, row.p_largest)
    values[:, 3, 0] -= 0.5
    assert curve_table(scores, intact, settings).iloc[0].p_confirmed == 1  # the largest harm more
    areas = area_table(scores, settings).set_index("how")
    assert areas.loc["bottom", "area"] == pytest.approx(1.9 / 3 - 0.9)  # one fraction: the difference there
    assert areas.loc["top", "n"] == 2


def test_a_whole_layer_at_the_top_cannot_differ_from_chance() -> None:
    ranking = ranked(naming(*((2, i) for i in range(24))), "magnitude")
    ranking.values[1][:] += 100
    assert shared_by_chance(choose(ranking, 0.5, "top"), ranking) == 1
    assert shared_by_chance(choose(ranking, 1 / 48, "top"), ranking) == 1 / 24


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": ()}, r"invalid fractions \[\](?s:.)*rising order"),
        ({"fractions": (0.1, 0.01)}, r"invalid fractions \[0.1, 0.01\](?s:.)*in rising order"),
        ({"fractions": (0.1, 2.0)}, "fractions is 2.0"),
        ({"by": "size"}, r"unknown ranking 'size'(?s:.)*magnitude"),
        ({"fixed_at": "means"}, r"unknown value to fix a neuron at 'means'(?s:.)*did you mean 'mean'"),
        ({"tower": "passages"}, r"unknown tower 'passages'(?s:.)*did you mean 'passage'"),
        ({"draws": 0}, r"draws is 0(?s:.)*at least 1"),
        ({"measures": ()}, r"measures is \(\)(?s:.)*give at least one measure"),
        ({"measures": ("RR@10", "RR@10")}, "repeats a measure(?s:.)*each measure once"),
        ({"measures": ("RX@10",)}, "unknown measure 'RX@10'"),
    ],
)
def test_wrong_settings_say_what_to_do(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        NeuronAblationSettings(**changes)


@pytest.fixture
def grouped(monkeypatch: pytest.MonkeyPatch) -> NeuronAblationSettings:
    """Settings under which the 14 queries make two groups: a sample of 13 of the passages, groups of two at least."""
    monkeypatch.setattr("retroscope.analyses.neurons.ablation.pools.ENOUGH", 2)
    return replace(QUICK, groups=2, passages=13, held_out=False, fixed_at="zero")


def test_groups_of_queries_are_searched_in_pools_of_their_own(
    retriever: Retriever, collection: Collection, grouped: NeuronAblationSettings
) -> None:
    """Every query has the scores that its pool alone gives it; the neurons of all are fixed alike."""
    ablation_result = ablation_curves(retriever, collection, naming(*((2, i) for i in PLANTED)), grouped)
    values = ablation_result.scores.values
    assert sum(ablation_result.recipe["groups"]) == len(values["query"]) <= N
    assert ablation_result.recipe["of_passages"] == N
    assert set(values["group"].values.tolist()) == {0, 1}
    assert (ablation_result.intact.values == 1).all()
    rows = ablation_result.table.set_index("fraction")
    assert rows.loc[0.02, "n"] == len(values["query"])  # nearest to 1 %: it is reported where nothing is confirmed
    assert any(
        "groups of queries, each searched in passages of its own" in warning for warning in ablation_result.warnings
    )
    again = ablation_curves(retriever, collection, naming(*((2, i) for i in PLANTED)), grouped)
    xr.testing.assert_identical(values, again.scores.values)


def test_a_lower_precision_is_measured_before_it_is_used(retriever: Retriever, collection: Collection) -> None:
    chosen = naming(*((2, i) for i in PLANTED))
    exact = ablation_curves(retriever, collection, chosen, QUICK)
    assert exact.recipe["precision_effect"] is None
    settings = replace(QUICK, precision="bfloat16", fixed_at="zero")
    ablation_result = ablation_curves(retriever, collection, chosen, settings)
    effect = ablation_result.recipe["precision_effect"]
    assert effect["precision"] == "bfloat16"
    assert effect["queries"] == N
    assert abs(effect["difference"]) <= 0.01
    assert any(
        "in bfloat16, the loss by fixing the top 2 % of the neurons beyond that by fixing random neurons (RR@10)"
        in text
        for text in ablation_result.warnings
    )


def test_a_precision_that_moves_the_harm_is_refused(
    retriever: Retriever, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A precision in which all vectors are one finds nothing, whatever is fixed: its harm is 0."""

    def coarse_vectors(
        encoder: Encoder, rows: Sequence[list[int]], tokens: int, on_batch: Callable[[int], None], precision: str
    ) -> torch.Tensor:
        vectors = final_vectors(encoder, rows, tokens, on_batch)
        return vectors if precision == EXACT else torch.ones_like(vectors)

    monkeypatch.setattr(trial, "final_vectors", coarse_vectors)
    settings = replace(QUICK, fractions=(0.02, ALL_PLANTED, 0.3), precision="bfloat16")
    monkeypatch.setattr("retroscope.analyses.neurons.ablation.table.REFERENCE", ALL_PLANTED)
    calls: list[tuple[str, int, int]] = []
    with pytest.raises(
        SettingsError,
        match=r"planted: precision bfloat16 is not accurate enough .* at most 0\.01\): in bfloat16, the loss(.|\n)*"
        r"float32",
    ):
        ablation_curves(
            retriever, collection, naming(*((2, i) for i in PLANTED)), settings, lambda *call: calls.append(call)
        )
    assert calls[-1][1] == 2 * N + 4 * N, "both towers; the top and one draw in either precision, and nothing more"


def test_in_float32_vectors_are_those_without_any_precision(
    retriever: Retriever, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, and no context that changes products is ever opened."""
    opened: list[str] = []

    def watched(precision: str, device: torch.device) -> Any:
        opened.append(precision)
        return in_precision(precision, device)

    monkeypatch.setattr("retroscope.encoders.encode.in_precision", watched)
    texts = texts_of(retriever, collection, "passage", None)
    neurons = choose(ranked(naming(*((2, i) for i in PLANTED)), "magnitude"), 1 / 48, "top")
    for chosen in (None, neurons):
        with nullcontext() if chosen is None else ablated(texts.encoder, chosen, None):
            plain = final_vectors(texts.encoder, texts.rows, texts.tokens)
            float32 = encoded(texts, Counter(None), "float32").final()
            rounded = encoded(texts, Counter(None), "bfloat16").final()
        assert float32.tobytes() == plain.numpy().tobytes()
        assert rounded.tobytes() != float32.tobytes(), "the control: bfloat16 is not"
    opened.clear()
    one, two = (
        ablation_curves(retriever, collection, naming(*((2, i) for i in PLANTED)), settings)
        for settings in (QUICK, replace(QUICK, precision="float32"))
    )
    assert set(opened) == {"float32"}
    assert one.scores.values.values.tobytes() == two.scores.values.values.tobytes()
    pd.testing.assert_frame_equal(one.table, two.table)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_looks_stop_at_the_same_place_for_the_same_seed(
    retriever: Retriever, collection: Collection, grouped: NeuronAblationSettings, precision: str
) -> None:
    settings = replace(grouped, precision=precision, draws=4, fractions=(0.02, ALL_PLANTED, 0.3))
    results, counts = [], []
    for seed in (5, 5, 6):
        calls: list[tuple[str, int, int]] = []
        results.append(
            ablation_curves(
                retriever,
                collection,
                naming(*((2, i) for i in PLANTED)),
                replace(settings, seed=seed),
                lambda *call: calls.append(call),  # noqa: B023 - called at once
            )
        )
        counts.append(calls)
    one, again, other = (result.scores.values for result in results)
    assert one.values.tobytes() == again.values.tobytes()
    assert counts[0] == counts[1], "the same texts are encoded"
    left_out = np.isnan(one.values)
    assert left_out.any(), "something is measured no further"
    assert not left_out.all(axis=(0, 4)).all(), "and something is"
    assert one.values.tobytes() != other.values.tobytes(), "the control: another seed draws other neurons and pools"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown precision 'half'"):
        NeuronAblationSettings(precision="half")
