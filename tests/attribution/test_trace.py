"""Traces: the upper part of a recorded pass, run again, is the network itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import parts, toy
from torch import Tensor, nn

from retroscope.attribution.integrals.trace import Trace, pool, run_from, trace
from retroscope.attribution.sites import Site, find_sites
from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.capture import Call, Rows, call_again, rewrite_inputs, rewrite_outputs, stand_in
from retroscope.encoders.checks.selftest import tolerance
from retroscope.encoders.encode import Batch, forward, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import AnalysisError
from toys import TEXTS, TOYS

DIM, HEADS, RELATIVE = 16, 2, 128  # of the toys; RELATIVE rows has DeBERTa's table of relative positions


def batch_of(encoder: Encoder, texts: int, side: str | None = None, tokens: int | None = None) -> Batch:
    """Toy texts, as many as wanted; all cut or repeated to the same number of tokens if one is given."""
    rows = tokenise(encoder, TEXTS)
    rows = [rows[i % len(rows)] for i in range(texts)]
    if tokens:
        rows = [(row * tokens)[: tokens - i % 3] for i, row in enumerate(rows)]
    return pad(encoder, rows, side=side)


def sites_of(encoder: Encoder) -> tuple[Site, ...]:
    return find_sites(encoder, parts(encoder))


def shuffled(texts: int) -> Tensor:
    """Rows in another order than the texts, some twice."""
    return torch.tensor([texts - 1, 0, 0, texts // 2, texts // 2])


def gap(encoder: Encoder, found: Tensor, expected: Tensor) -> float:
    """Largest distance, in what rounding alone may do."""
    return float((found - expected).norm(dim=-1).max() / expected.norm(dim=-1).max()) / tolerance(encoder)


@torch.no_grad()
def check_intact(encoder: Encoder, batch: Batch) -> None:
    """Running again with what the matrices gave gives the intact vectors; with nothing, others."""
    record, rows = trace(encoder, batch), shuffled(len(batch.ids))
    for site in sites_of(encoder):
        outputs = record.outputs(site)[rows]
        assert gap(encoder, run_from(record, site, outputs, rows), record.vectors[rows]) <= 1, site
        assert gap(encoder, run_from(record, site, 0 * outputs, rows), record.vectors[rows]) > 100, site


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", TOYS)
def test_running_again_with_the_same_values_gives_the_intact_vectors(name: str, side: str) -> None:
    check_intact(toy(name), batch_of(toy(name), len(TEXTS), side))


@pytest.mark.parametrize("tokens", [DIM, None])
@pytest.mark.parametrize("texts", [1, HEADS, DIM])
@pytest.mark.parametrize("name", TOYS)
def test_as_many_texts_as_heads_dimensions_or_tokens_are_not_confused(
    name: str, texts: int, tokens: int | None
) -> None:
    """A tensor that all texts share may be as long as the batch."""
    check_intact(toy(name), batch_of(toy(name), texts, "left", tokens))


@pytest.mark.parametrize("tokens", [DIM, 12])
def test_a_table_with_as_many_rows_as_texts_is_not_taken_apart(tokens: int) -> None:
    encoder = toy("deberta-v2")
    table = encoder.backbone.get_submodule("encoder.rel_embeddings").weight
    assert table.shape == (RELATIVE, DIM)
    check_intact(encoder, batch_of(encoder, RELATIVE, "right", tokens))


@pytest.mark.parametrize("name", TOYS)
def test_other_values_do_what_they_do_in_the_whole_network(name: str) -> None:
    encoder = toy(name)
    batch = batch_of(encoder, 3)
    record, rows = trace(encoder, batch), torch.arange(3)
    for site in sites_of(encoder):
        values = torch.randn(record.outputs(site).shape, generator=torch.Generator().manual_seed(site.layer))
        with torch.no_grad():
            rerun = run_from(record, site, values, rows)
        assert gap(encoder, rerun, whole(encoder, batch, site, values)) <= 1, site


@torch.no_grad()
def whole(encoder: Encoder, batch: Batch, site: Site, values: Tensor) -> Tensor:
    """The whole network with the outputs of one site replaced."""

    def edit(name: str, output: Tensor) -> Tensor:
        if site.half is None:
            return values.reshape(output.shape)
        halves = list(output.chunk(2, dim=-1))
        halves[site.half] = values
        return torch.cat(halves, dim=-1)

    with rewrite_outputs({"site": encoder.backbone.get_submodule(site.path)}, edit):
        hidden = encoder.backbone(**model_inputs(encoder, batch), output_hidden_states=True).hidden_states[-1]
    return pool(encoder, hidden, batch.pooled)


@pytest.mark.parametrize("pooling", ["cls", "last_token", "max", "weighted_mean", "last_column"])
def test_every_pooling_reads_the_chosen_rows(pooling: str) -> None:
    encoder = toy("bert")
    check_intact(replace(encoder, recipe=encoder.recipe.but("test", pooling=pooling)), batch_of(encoder, 4, "left"))


def test_a_trace_holds_the_pooled_last_layer() -> None:
    encoder = toy("llama")
    batch = batch_of(encoder, 3)
    with torch.no_grad():
        expected = forward(encoder, batch).layers[:, -1]
    assert torch.equal(trace(encoder, batch).vectors, expected)


def replaced(encoder: Encoder) -> list[nn.Module]:
    """Modules whose forward was replaced, or that have a hook which transformers has not put there."""
    return [m for m in encoder.backbone.modules() if "forward" in vars(m) or m._forward_pre_hooks or m._backward_hooks]


def test_nothing_stands_in_any_more_after_success_or_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = toy("bert")
    record = trace(encoder, batch_of(encoder, 2))
    site, rows = sites_of(encoder)[0], torch.arange(2)
    run_from(record, site, record.outputs(site), rows)
    assert not replaced(encoder)
    with pytest.raises(RuntimeError, match="must match the size of tensor"):
        run_from(record, site, record.outputs(site).repeat(2, 1, 1), rows)  # twice the rows: the FFN's sum fails
    assert not replaced(encoder)

    def fail(self: Anatomy, model: nn.Module) -> Sequence[nn.Module]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Anatomy, "blocks", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        run_from(record, site, record.outputs(site), rows)
    assert not replaced(encoder)


def test_a_forward_of_the_instance_is_put_back() -> None:
    module = nn.Identity()
    own = lambda x: x + 1  # noqa: E731
    module.forward = own  # type: ignore[method-assign]
    with stand_in({"m": module}, {"m": torch.ones(1)}):
        assert module(torch.zeros(1)).item() == 1
        assert module.forward is not own
    assert module.forward is own


class Block(nn.Module):
    """Takes its arguments as some family might: by name, the mask first."""

    def forward(self, *, mask: Tensor, hidden_states: Tensor, rest: Any = None) -> tuple[Tensor, None]:
        return hidden_states * mask[..., None], None


MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).bool()
STATES = torch.arange(12.0).reshape(2, 3, 2)


def test_hidden_states_by_name_are_found_behind_a_mask() -> None:
    call = Call((), {"mask": MASK, "hidden_states": STATES}, None)
    assert call.input is STATES
    rows = Rows(torch.tensor([1, 1, 0]), 2, 3)
    again = call_again(Block(), call, rows.take(STATES), rows)
    assert torch.equal(again, (STATES * MASK[..., None])[[1, 1, 0]])
    with rewrite_inputs({"block": Block()}, lambda name, x: x + 1):
        pass
    block = Block()
    with rewrite_inputs({"block": block}, lambda name, x: x + 1):
        assert torch.equal(block(mask=MASK, hidden_states=STATES)[0], (STATES + 1) * MASK[..., None])


def test_arguments_may_be_nested() -> None:
    rows = Rows(torch.tensor([1]), 2, 3)
    found = rows.of({"positions": (MASK, [MASK, None]), "scale": 2, "dtype": torch.float32})
    assert torch.equal(found["positions"][0], MASK[[1]])
    assert torch.equal(found["positions"][1][0], MASK[[1]])
    assert (found["positions"][1][1], found["scale"], found["dtype"]) == (None, 2, torch.float32)


def test_shared_masks_are_chosen_once() -> None:
    rows = Rows(torch.tensor([1, 0]), 2, 3)
    assert rows.of(MASK) is rows.of(MASK)


@pytest.mark.parametrize(
    "shared",
    [
        torch.zeros(1, 2, 3, 3),  # T5's bias
        torch.zeros(2, 16),  # a table of floats
        torch.zeros(2, 3),  # one that is as wide as the texts are long
        torch.zeros(2, dtype=torch.long),  # one value each of something
        torch.zeros(2, 5, 5),  # nothing that counts tokens
    ],
)
def test_what_all_texts_share_is_kept(shared: Tensor) -> None:
    assert Rows(torch.tensor([1, 1, 1]), 2, 3).of(shared) is shared


def test_an_object_that_may_remember_is_refused() -> None:
    class Cache:
        pass

    with pytest.raises(AnalysisError, match=r"a block received an argument of type Cache(.|\n)*model_inputs"):
        Rows(torch.tensor([0]), 2, 3).of([Cache()])


def test_a_module_given_no_tensor_is_an_error() -> None:
    with pytest.raises(AnalysisError, match="takes or returns no tensor"):
        _ = Call((), {"scale": 2}, None).input


def test_inputs_and_outputs_are_by_text_and_token() -> None:
    """OPT puts texts and tokens into one dimension."""
    for name in ("opt", "bert"):
        encoder = toy(name)
        record: Trace = trace(encoder, batch_of(encoder, 3))
        for site in sites_of(encoder):
            assert record.inputs(site).shape[:2] == record.outputs(site).shape[:2] == record.pooled.shape
