"""The weight path, of one matrix and of all together, against the published loop taken literally."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import (
    Pair,
    all_together,
    apart,
    check_equal,
    limit,
    one_by_one,
    parts,
    scores,
    toy,
    work,
)
from peft import LoraConfig, get_peft_model
from torch.nn.functional import normalize
from transformers import AutoModel

from retroscope.attribution.integrals.joint_path import joint_path
from retroscope.attribution.integrals.paths import Values, Work, relative_gap, together
from retroscope.attribution.integrals.quadrature import quadrature
from retroscope.attribution.integrals.weight_path import weight_path
from retroscope.attribution.objective import Objective, norms
from retroscope.attribution.sites import Site, find_sites
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encode import encode_rows, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from toys import TEXTS, TOYS, save_toy

SHAPES = ("bert", "modernbert", "llama", "gpt2", "opt", "t5-gated")


@cache
def truth(name: str) -> tuple[dict[Site, Pair], dict[Site, Pair]]:
    """Both paths of a toy, naively, for texts of different length; the engine's are padded, these are not."""
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS[:3])
    asked = work(encoder, rows)
    return one_by_one(asked, rows), all_together(asked, rows)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", TOYS)
def test_every_site_alone_equals_the_published_loop(name: str, side: str) -> None:
    encoder = toy(name)
    values = weight_path(work(encoder, side=side, extra=2, at_once=3))
    assert {site.part for site in values} == {*parts(encoder)}
    check_equal(encoder, values, truth(name)[0])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", TOYS)
def test_all_sites_together_equal_the_loop_that_overwrites_all_matrices(name: str, side: str) -> None:
    encoder = toy(name)
    check_equal(encoder, joint_path(work(encoder, side=side, extra=2, at_once=3)), truth(name)[1])


@pytest.mark.parametrize("name", ["bert", "modernbert", "llama"])
def test_the_two_paths_differ(name: str) -> None:
    """Control: else the two tests above would be one."""
    alone, joint = truth(name)
    assert all(apart(alone[site][0], joint[site][0]) > 0.05 for site in alone)


def test_both_paths_are_one_when_there_is_one_site() -> None:
    encoder = toy("modernbert")
    for site in find_sites(encoder, parts(encoder)):
        asked = work(encoder, sites=[site], rule="gauss:3")
        alone, joint = weight_path(asked)[site], joint_path(asked)[site]
        for name in ("magnitude", "signed", "start", "end", "spread"):
            assert apart(getattr(joint, name), getattr(alone, name)) <= limit(encoder), name
        assert torch.equal(joint.nodes, alone.nodes)


@pytest.mark.parametrize("name", ["bert", "modernbert", "llama"])
def test_the_published_target_and_rule(name: str) -> None:
    """The L2 norm and `linspace(1e-6, 1, 20)`: what arXiv 2505.07166 computes."""
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS[:2])
    asked = work(encoder, rows, objective=norms(rows, encoder.device), rule="ielab-20")
    check_equal(encoder, weight_path(asked), one_by_one(asked, rows))


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_a_margin_on_the_passage_tower_is_one_example_of_two_texts(name: str, cosine: bool) -> None:
    """Gradients of both passages are added before the sizes are taken: dF/dW is one matrix."""
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS)
    asked = work(encoder, rows, objective=margins(encoder, cosine), at_once=3)
    found, joint = weight_path(asked), joint_path(asked)
    check_equal(encoder, found, one_by_one(asked, rows))
    check_equal(encoder, joint, all_together(asked, rows))
    vectors = encode_rows(encoder, rows).final
    own = normalize(vectors, dim=-1) if cosine else vectors
    expected = ((own[[0, 2]] - own[[1, 3]]) * asked.objective.other[[0, 2]]).sum(1)
    for values in (*found.values(), *joint.values()):
        assert values.magnitude.shape[0] == 2
        torch.testing.assert_close(values.end, expected.double(), atol=1e-5, rtol=1e-5)


def margins(encoder: Encoder, cosine: bool = False) -> Objective:
    """Two queries with a relevant passage and a negative each."""
    queries = scores(encoder, 2).other
    sign, example = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.tensor([0, 0, 1, 1])
    return Objective(normalize(queries, dim=-1)[example], sign, example, cosine)


@pytest.mark.parametrize("name", SHAPES)
def test_a_margin_on_the_query_tower_is_a_score_of_a_difference(name: str) -> None:
    encoder = toy(name)
    rows = tokenise(encoder, TEXTS[2:3])
    positive, negative = encode_rows(encoder, tokenise(encoder, TEXTS[:2])).final
    one = torch.tensor([1.0]), torch.tensor([0])
    asked = work(encoder, rows, objective=Objective((positive - negative)[None], *one))
    found = weight_path(asked)
    check_equal(encoder, found, one_by_one(asked, rows))
    query = encode_rows(encoder, rows).final[0]
    for values in found.values():
        torch.testing.assert_close(values.end[0], (query @ positive - query @ negative).double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", [weight_path, joint_path])
def test_some_examples_refined_are_the_examples_refined_alone(method: Callable[[Work], Values]) -> None:
    """`auto` runs more nodes for the examples that need them, and only those; two texts of an example stay together."""
    encoder = toy("distilbert")
    asked = work(encoder, tokenise(encoder, TEXTS), objective=margins(encoder))

    def by(rule: str) -> Values:
        return method(replace(asked, quadrature=quadrature(rule)))

    gaps = relative_gap(together(by("gauss:4")) if method is joint_path else by("gauss:4")[asked.sites[0]])
    between = float((gaps[0] * gaps[1]).sqrt())
    found = by(f"auto:{between:.3e}")
    nodes = {int(n) for values in found.values() for n in values.nodes}
    assert len(nodes) > 1
    for n in nodes:
        for site, values in by(f"gauss:{n}").items():
            examples = (found[site].nodes == n).nonzero().flatten()
            for name in ("magnitude", "signed", "start", "end", "spread"):
                a, b = (getattr(v, name)[examples] for v in (found[site], values))
                assert not len(examples) or apart(a, b) <= limit(encoder), (site, name)


def test_a_merged_adapter_is_attributed_as_what_it_became(tmp_path: Path) -> None:
    base = save_toy("llama", tmp_path / "base")
    save_adapter(base, tmp_path / "adapter")
    before, after = (load_encoder(tmp_path / name, LoadSettings(pooling="mean")) for name in ("base", "adapter"))
    rows = tokenise(after, TEXTS[:2])
    asked = work(after, rows, objective=scores(after, 2))
    values = weight_path(asked)
    check_equal(after, values, one_by_one(asked, rows))
    check_equal(after, joint_path(asked), all_together(asked, rows))
    untouched = weight_path(replace(asked, encoder=before))
    assert all(apart(values[site].magnitude, untouched[site].magnitude) > 0.01 for site in values)
    assert not any(p.requires_grad for p in after.backbone.parameters())


def save_adapter(base: Path, folder: Path) -> None:
    """LoRA on attention and on FFN matrices, every tensor random."""
    options: dict[str, Any] = {"task_type": "FEATURE_EXTRACTION", "r": 2}
    settings = LoraConfig(target_modules=["q_proj", "gate_proj", "up_proj", "down_proj"], **options)
    generator = torch.Generator().manual_seed(1)
    with quiet(), torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        model = get_peft_model(AutoModel.from_pretrained(base), settings)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(folder)
