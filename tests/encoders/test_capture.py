"""Hooks never outlive their context, whatever happens inside."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retroscope.encoders.capture import Call, capture_calls, first_tensor, rewrite_inputs, rewrite_outputs
from retroscope.errors import AnalysisError
from toys import TOYS


class Pair(nn.Module):
    """Returns (x + 1, "rest"), as blocks of some families do."""

    def forward(self, x: Tensor, *, fail: bool = False) -> tuple[Tensor, str]:
        if fail:
            raise RuntimeError("the model broke")
        return x + 1, "rest"


class Stubborn(nn.Module):
    """Refuses hooks."""

    def register_forward_hook(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no hooks here")

    def register_forward_pre_hook(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no hooks here")


def count_hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def add(name: str, x: Tensor) -> Tensor:
    return x + 10


CONTEXTS = {
    "capture": lambda modules: capture_calls(modules),
    "outputs": lambda modules: rewrite_outputs(modules, add),
    "inputs": lambda modules: rewrite_inputs(modules, add),
}


@pytest.mark.parametrize("kind", CONTEXTS)
def test_no_hook_is_left_after_success(kind: str) -> None:
    model = Pair()
    with CONTEXTS[kind]({"pair": model}):
        assert count_hooks(model) == 1
        model(torch.zeros(1))
    assert count_hooks(model) == 0


@pytest.mark.parametrize("kind", CONTEXTS)
def test_no_hook_is_left_when_the_model_raises(kind: str) -> None:
    model = Pair()
    with pytest.raises(RuntimeError, match="the model broke"), CONTEXTS[kind]({"pair": model}):
        model(torch.zeros(1), fail=True)
    assert count_hooks(model) == 0


@pytest.mark.parametrize("kind", CONTEXTS)
def test_no_hook_is_left_when_registering_raises(kind: str) -> None:
    modules = {"good": Pair(), "bad": Stubborn()}
    with pytest.raises(RuntimeError, match="no hooks here"), CONTEXTS[kind](modules):
        pytest.fail("the context must not open")
    assert count_hooks(modules["good"]) == 0


def test_calls_hold_what_went_in_and_out() -> None:
    model = Pair()
    with capture_calls({"pair": model}) as calls:
        model(torch.zeros(2))
    call = calls.only("pair")
    assert call.input.tolist() == [0, 0]
    assert call.value.tolist() == [1, 1]
    assert call.output[1] == "rest"


def test_a_module_that_ran_twice_or_never_is_an_error() -> None:
    model = Pair()
    with capture_calls({"pair": model}) as calls:
        with pytest.raises(AnalysisError, match="'pair' ran 0 times"):
            calls.only("pair")
        model(torch.zeros(1))
        model(torch.zeros(1))
    with pytest.raises(AnalysisError, match="'pair' ran 2 times, but must run exactly once"):
        calls.only("pair")


def test_a_call_without_a_tensor_is_an_error() -> None:
    with pytest.raises(AnalysisError, match="takes or returns no tensor"):
        first_tensor(("text", 1))


def test_keyword_inputs_are_seen() -> None:
    x = torch.ones(1)
    assert Call((), {"scale": 2, "hidden_states": x}, x).input is x


@pytest.mark.parametrize("context", [rewrite_outputs, rewrite_inputs])
def test_rewriting_keeps_the_rest_of_a_tuple(context: Any) -> None:
    model = Pair()
    with context({"pair": model}, add):
        value, rest = model(torch.zeros(1))
    assert (value.item(), rest) == (11, "rest")


@pytest.mark.parametrize("keyword", [True, False])
def test_inputs_are_rewritten_by_position_and_by_keyword(keyword: bool) -> None:
    identity = nn.Identity()
    with rewrite_inputs({"identity": identity}, add):
        out = identity(input=torch.ones(1)) if keyword else identity(torch.ones(1))
    assert out.item() == 11


def test_rewritten_block_outputs_show_in_hidden_states() -> None:
    """transformers fills `hidden_states` by hooks that were registered before ours."""
    model = TOYS["llama"].build()
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        before = model(input_ids=ids, output_hidden_states=True).hidden_states
        hooks = count_hooks(model)
        with rewrite_outputs({"0": model.get_submodule("layers.0")}, lambda name, x: torch.zeros_like(x)):
            zeroed = model(input_ids=ids, output_hidden_states=True).hidden_states
        after = model(input_ids=ids, output_hidden_states=True).hidden_states
    assert zeroed[1].abs().max() == 0
    assert before[1].abs().max() > 0
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert count_hooks(model) == hooks
