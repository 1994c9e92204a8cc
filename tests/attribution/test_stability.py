"""An attribution stops where halves of its examples agree, and a longer one begins with a shorter one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import Example, collection_examples
from retroscope.attribution.plan import AttributionPlan
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.stability import FIRST_STAGE, agreement, random_order, stage_ends
from retroscope.collection.collection import make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError
from toys import TEXTS, save_toy

SETTINGS = AttributionSettings(target="score", tower="passage", quadrature="gauss:2", limit=0)
N = 40


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_toy("bert", tmp_path_factory.mktemp("toy") / "bert")
    return load_encoder(folder, LoadSettings(pooling="mean"))


def planned(encoder: Encoder, wanted: float | None, n: int = N) -> AttributionPlan:
    """Texts and vectors that differ: every example has a ranking of its own."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(N, encoder.backbone.config.hidden_size, generator=random)
    examples = [
        Example(f"q{i}", (f"{TEXTS[i % len(TEXTS)]} {i}",), (1.0,), (vector,)) for i, vector in enumerate(vectors)
    ]
    return plan_attribution(encoder, examples[:n], replace(SETTINGS, agreement=wanted))


def assert_same_bits(one: NeuronAttribution, other: NeuronAttribution) -> None:
    assert one.scores.values.identical(other.scores.values)
    for part in one.parts:
        assert one.neurons[part].identical(other.neurons[part])


def test_stages_grow_by_a_third_or_half_and_end_with_all() -> None:
    assert stage_ends(100) == [16, 24, 32, 48, 64, 96, 100]
    assert stage_ends(FIRST_STAGE) == [FIRST_STAGE]
    assert stage_ends(24) == [16, 24]


def test_halves_agree_by_the_mean_jaccard_index_of_three_top_sets() -> None:
    ranking = np.arange(200.0)
    assert agreement(np.stack([ranking, ranking + 1])) == 1
    assert agreement(np.stack([ranking, -ranking])) == 0
    last = ranking.copy()
    last[[199, 0]] = last[[0, 199]]  # the largest is the smallest: 1 of 2, 5 of 6 and 19 of 20 are left
    assert agreement(np.stack([ranking, last])) == pytest.approx((1 / 3 + 5 / 7 + 19 / 21) / 3)
    assert np.isnan(agreement(np.stack([ranking, np.zeros(200)])))


def test_it_stops_at_the_first_stage_whose_halves_agree(bert: Encoder) -> None:
    """The control is the same plan with more asked for: it goes on to the limit."""
    whole = attribute_neurons(planned(bert, 0.999))
    assert whole.examples == N
    reached = whole.recipe["agreement_reached"]
    few = attribute_neurons(planned(bert, 0.01))
    assert few.examples == FIRST_STAGE
    assert few.recipe["agreement_reached"] >= 0.01
    assert reached < 0.999
    every_stage = [attribute_neurons(planned(bert, 0.999), stop_at=end) for end in stage_ends(N)]
    assert [one.examples for one in every_stage] == stage_ends(N)
    agreed = [one.recipe["agreement_reached"] for one in every_stage]
    wanted = max(agreed[1:])
    first = next(end for end, one in zip(stage_ends(N), agreed, strict=True) if one >= wanted)
    assert attribute_neurons(planned(bert, wanted)).examples == first


@pytest.mark.parametrize("wanted", [0.9, None])
def test_examples_of_one_text_are_in_one_half(bert: Encoder, wanted: float | None) -> None:
    """Else the halves agree because the same texts are in both. Of distinct texts, the halves are as large as ever."""
    plan = planned(bert, wanted)
    distinct, again = plan.half, replace(plan, examples=[*plan.examples[:20], *plan.examples[:20]]).half
    assert sorted(distinct.tolist()) == [0] * 20 + [1] * 20
    np.testing.assert_array_equal(again[:20], again[20:])
    assert again.sum() == 20
    shouted = replace(plan.examples[0], texts=(plan.examples[0].texts[0].upper(),))
    assert len(set(replace(plan, examples=[plan.examples[0], shouted]).half.tolist())) == 1
    for end in stage_ends(N):  # those of a stage do not change as the next is added
        np.testing.assert_array_equal(planned(bert, 0.9).until(end).half, planned(bert, 0.9).half[:end])


def test_without_an_agreement_all_are_attributed(bert: Encoder) -> None:
    attribution = attribute_neurons(planned(bert, None))
    assert attribution.examples == N
    assert attribution.recipe["agreement_reached"] is None


def test_more_goes_on_from_less_and_ends_with_the_same_bits(bert: Encoder, tmp_path: Path) -> None:
    done: list[int] = []
    short = attribute_neurons(planned(bert, 0.999), tmp_path, lambda n, total: done.append(n), stop_at=16)
    assert done[-1] == 16
    done.clear()
    longer = attribute_neurons(planned(bert, 0.999), tmp_path, lambda n, total: done.append(n))
    assert min(done) == 16
    assert done[-1] == N
    assert_same_bits(longer, attribute_neurons(planned(bert, 0.999)))
    done.clear()
    again = attribute_neurons(planned(bert, 0.999), tmp_path, lambda n, total: done.append(n), stop_at=16)
    assert done == [16]
    assert_same_bits(short, again)  # though states of more examples are there


def test_a_larger_limit_goes_on_from_a_smaller_one(bert: Encoder, tmp_path: Path) -> None:
    done: list[int] = []
    attribute_neurons(planned(bert, 0.999, 24), tmp_path)
    whole = attribute_neurons(planned(bert, 0.999), tmp_path, lambda n, total: done.append(n))
    assert done[:2] == [16, 24]
    assert_same_bits(whole, attribute_neurons(planned(bert, 0.999)))


def test_examples_are_drawn_in_one_order_whatever_the_limit(bert: Encoder) -> None:
    ids = [f"q{i:02}" for i in range(N)]
    collection = make_collection(
        "toy",
        [Passage(f"p{i}", f"{TEXTS[i % len(TEXTS)]} {i}") for i in range(N)],
        [Query(i, i) for i in ids],
        [Judgment(i, f"p{n}") for n, i in enumerate(ids)],
    )
    candidates = [Candidates(i, f"p{n}", ()) for n, i in enumerate(ids)]
    retriever = Retriever("toy", bert, bert, "dot")

    def drawn(limit: int, able: list[Candidates] = candidates, wanted: float | None = 0.5) -> list[str]:
        settings = replace(SETTINGS, limit=limit, agreement=wanted)
        return [example.id for example in collection_examples(retriever, collection, able, settings)]

    assert drawn(0) == random_order(ids, 0)
    assert drawn(20) == drawn(30)[:20] == drawn(0)[:20]
    assert drawn(20, candidates[1:]) == [i for i in drawn(0) if i != "q00"][:20]  # the order of the others stays
    assert drawn(30, wanted=None) == sorted(drawn(30, wanted=None)) != sorted(drawn(30))


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.5])
def test_an_agreement_is_a_jaccard_index(wrong: float) -> None:
    with pytest.raises(SettingsError, match=f"agreement is {wrong}"):
        AttributionSettings(agreement=wrong)
