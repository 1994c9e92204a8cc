"""Record or replace what modules return, or run modules again, by hooks. No other file registers hooks.

Every context manager removes its own hooks, also after an error. transformers collects `hidden_states` by hooks of its
own on the blocks. Hooks that rewrite a value are registered in front of these, so that `hidden_states` contains the
rewritten value.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from retroscope.errors import AnalysisError, excerpt

Edit = Callable[[str, Tensor], Tensor]
HIDDEN = "hidden_states"  # how transformers calls the first argument of a block, where it goes by name
PLAIN = (type(None), bool, int, float, str, torch.dtype, torch.device)  # arguments without a state


@dataclass(frozen=True)
class Call:
    """One recorded call of a module: its arguments and its output, with the autograd graph if gradients are on."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any

    @property
    def input(self) -> Tensor:
        """Return the hidden states that the module received: its first positional tensor, else a keyword argument."""
        return first_tensor(self.args) if self.args else first_tensor(self.kwargs[hidden_key(self.kwargs)])

    @property
    def value(self) -> Tensor:
        """Return the first tensor that the module returned."""
        return first_tensor(self.output)


@dataclass(frozen=True)
class Calls:
    """Recorded calls of modules. `of` maps the name of a module to its calls, in the order in which they ran."""

    of: dict[str, list[Call]] = field(default_factory=dict)

    def only(self, name: str) -> Call:
        """Return the only call of a module. Raise an AnalysisError if the module did not run, or ran more than once."""
        calls = self.of[name]
        if len(calls) != 1:
            raise AnalysisError(
                f"module {name!r} ran {len(calls)} times, but must run exactly once",
                fix="encode one batch per capture, with a model whose blocks are not one shared module",
            )
        return calls[0]


def first_tensor(value: Any) -> Tensor:
    """Return `value` if it is a tensor, or else the first tensor in it. Blocks of some families return a tuple."""
    if isinstance(value, Tensor):
        return value
    for item in value:
        if isinstance(item, Tensor):
            return item
    raise AnalysisError(
        f"a captured module takes or returns no tensor: {excerpt(value)}",
        fix="capture a module that takes and returns tensors, e.g. a block",
    )


def hidden_key(kwargs: Mapping[str, Any]) -> str:
    """Return the name of the keyword argument with the hidden states, among those of a recorded call."""
    tensors = [key for key, value in kwargs.items() if isinstance(value, Tensor)]
    if not tensors:
        raise AnalysisError(
            f"a captured module takes or returns no tensor; its arguments: {', '.join(kwargs) or 'none'}",
            fix="capture a module that takes and returns tensors, e.g. a block",
        )
    return HIDDEN if HIDDEN in tensors else tensors[0]


@contextmanager
def capture_calls(modules: Mapping[str, nn.Module]) -> Iterator[Calls]:
    """Record every call of the named modules while the context is open."""
    calls = Calls({name: [] for name in modules})
    with ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_hook(_recorder(calls.of[name]), with_kwargs=True)
            stack.callback(handle.remove)
        yield calls


@contextmanager
def rewrite_outputs(modules: Mapping[str, nn.Module], edit: Edit) -> Iterator[None]:
    """Pass what each named module returns through `edit(name, tensor)`, at every call while the context is open.

    Of several returned tensors, only the first is passed through `edit`.
    """
    with ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_hook(_output_editor(name, edit), prepend=True)
            stack.callback(handle.remove)
        yield


@contextmanager
def rewrite_inputs(modules: Mapping[str, nn.Module], edit: Edit) -> Iterator[None]:
    """Pass what each named module receives through `edit(name, tensor)`, at every call while the context is open.

    Of several received tensors, only the first is passed through `edit`.
    """
    with ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_pre_hook(_input_editor(name, edit), with_kwargs=True, prepend=True)
            stack.callback(handle.remove)
        yield


@contextmanager
def stand_in(modules: Mapping[str, nn.Module], outputs: Mapping[str, Any]) -> Iterator[None]:
    """Make each named module return `outputs[name]` instead of running, while the context is open."""
    with ExitStack() as stack:
        for name, module in modules.items():
            own = module.__dict__.get("forward")  # set on the instance by libraries that wrap models
            module.__dict__["forward"] = _constant(outputs[name])
            stack.callback(_restore, module, own)
        yield


@dataclass(frozen=True, eq=False)
class Rows:
    """Selection of texts from a recorded batch, with which a module is run again.

    Attributes:
        index: index in the batch of each text to run, in this order. An index may be repeated.
        texts, tokens: size of the recorded batch: how many texts it has, and how many tokens each text has with
            padding.
        known: cache of selections: Python's `id` of a tensor of the whole batch -> its entries at `index`.
    """

    index: Int[Tensor, "row"]
    texts: int
    tokens: int
    known: dict[int, Tensor] = field(default_factory=dict)  # blocks share masks, which are then chosen once

    def take(self, states: Tensor) -> Tensor:
        """Return the entries at `index` of a tensor with one entry for each text of the batch."""
        return states.index_select(0, self.index)

    def of(self, value: Any) -> Any:
        """Select the texts at `index` in an argument of a block, e.g. a mask, positions or a bias.

        Raises:
            AnalysisError: for an object that may keep a state of the first call, such as a cache of keys.
        """
        if isinstance(value, (tuple, list)):
            return type(value)(self.of(item) for item in value)
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, Tensor):
            return self._beside(value)
        if isinstance(value, PLAIN):
            return value
        raise AnalysisError(
            f"a block received an argument of type {type(value).__name__}, which may remember its first forward pass, "
            "so a second pass through the block could give other results",
            fix="switch off the argument in `model_inputs` (encoders/encode.py), e.g. use_cache=False for a cache",
        )

    def _beside(self, value: Tensor) -> Tensor:
        """Select the texts at `index`, if the tensor has one entry for each text; else return the tensor unchanged.

        The size of the first dimension does not show whether a tensor has one entry for each text or is shared by all
        texts. In a batch of one text, every tensor counts as shared. In other batches, a tensor counts as having an
        entry for each text if it also has a dimension of tokens. A matrix of floats is an exception: it is a shared
        table, such as DeBERTa's relative positions.
        """
        by_text = value.dim() > 1 and value.shape[0] == self.texts and self.tokens in value.shape[1:]
        if self.texts == 1 or not by_text or (value.dim() == 2 and value.is_floating_point()):
            return value
        if id(value) not in self.known:
            self.known[id(value)] = self.take(value)
        return self.known[id(value)]


def call_again(module: nn.Module, call: Call, hidden: Tensor, rows: Rows) -> Tensor:
    """Run a module again on other hidden states, which have one entry for each text of `rows`.

    The other arguments (masks, positions, biases) are those of the recorded call, selected for the same texts. Return
    the first tensor of the output.
    """
    name = None if call.args else hidden_key(call.kwargs)
    positional = () if name else (hidden, *rows.of(call.args[1:]))
    return first_tensor(module(*positional, **{k: hidden if k == name else rows.of(v) for k, v in call.kwargs.items()}))


def _constant(output: Any) -> Callable[..., Any]:
    def stand(*args: Any, **kwargs: Any) -> Any:
        return output

    return stand


def _restore(module: nn.Module, own: Any) -> None:
    if own is None:
        del module.__dict__["forward"]
    else:
        module.__dict__["forward"] = own


def _recorder(calls: list[Call]) -> Callable[..., None]:
    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls.append(Call(args, dict(kwargs), output))

    return record


def _output_editor(name: str, edit: Edit) -> Callable[..., Any]:
    def replace_output(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return edit(name, output)
        return (edit(name, first_tensor(output[:1])), *output[1:])

    return replace_output


def _input_editor(name: str, edit: Edit) -> Callable[..., Any]:
    def replace_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (edit(name, first_tensor(args[:1])), *args[1:]), kwargs
        key = hidden_key(kwargs)
        return args, {**kwargs, key: edit(name, kwargs[key])}

    return replace_input
