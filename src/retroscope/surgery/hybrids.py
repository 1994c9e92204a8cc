"""Encode texts by hybrids of two models. Layers that several hybrids share are run once.

For each batch, each model runs once and its states are recorded. A hybrid runs only the layers above the last state
that it shares with one of the models or with the previous hybrid. Two transplants may result in the same hybrid: the
backbone with the retriever's top blocks is the retriever with the backbone's bottom blocks. It is run once.
"""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.batches import batches_of, can_share
from retroscope.encoders.capture import Calls, Rows, call_again, capture_calls
from retroscope.encoders.encode import Batch, TokenIds, finish, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.hardware import in_precision
from retroscope.encoders.pooling import pooling_of
from retroscope.encoders.precision import EXACT
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.engine.streams import in_streams
from retroscope.surgery.ownership import CHANGED, Hybrid, HybridKey, Path, grouped, own_layers
from retroscope.surgery.pairs import check_transplantable
from retroscope.surgery.random_changes import RandomChanges


def transplanted(
    receiver: Encoder,
    donor: Encoder,
    rows: Sequence[TokenIds],
    names: Sequence[str],
    *,
    tokens: int = DEFAULT_BUDGET,
) -> dict[str, Float[Tensor, "text out"]]:
    """Encode texts with hybrids of two models. Return each hybrid's final vectors by the name of its transplant.

    Row i of the vectors belongs to text i. They are on the CPU. The recipe, pooler and head are those of the receiver.

    Args:
        rows: token ids of each text.
        names: names of transplants (see `Transplant`), e.g. "block:3".
        tokens: largest number of padded tokens in a batch.
    """
    hybrid_vectors = hybrids((receiver, donor), rows, [(0, name) for name in names], tokens=tokens)
    return {name: vectors for (_, name), vectors in hybrid_vectors.items()}


def hybrids(
    pair: tuple[Encoder, Encoder],
    rows: Sequence[TokenIds],
    keys: Sequence[HybridKey],
    *,
    tokens: int = DEFAULT_BUDGET,
    on_batch: Callable[[int], None] | None = None,
    random: RandomChanges | None = None,
    precision: str = EXACT,
) -> dict[HybridKey, Float[Tensor, "text out"]]:
    """Return the final vectors of tokenised texts by every hybrid of two models, on the CPU.

    Row i of the vectors belongs to text i. If two keys result in the same hybrid, it is run once.

    Args:
        pair: the two models. If both are receivers in `keys`, their recipes must pad and pool alike.
        rows: token ids of each text.
        keys: for each hybrid, the index (0 or 1) of the receiver in `pair`, and the name of the transplant.
        tokens: largest number of padded tokens in a batch.
        on_batch: called after each batch with the number of texts in it.
        random: random changes of the pair. Pass the same object in several calls, so that a draw is computed once.
        precision: numerical precision of the backbone's forward passes, a name in `encoders.precision`.
    """
    check_transplantable(*pair)
    random = random or RandomChanges(pair)
    hybrid_names = grouped(keys, pair[0].anatomy)
    vectors: dict[HybridKey, Tensor] = {}
    batches = batches_of(pair[0], rows, tokens)
    shared = all(map(can_share, pair)) and len(batches) > 1
    pairs = _Copies(pair) if shared else None

    def run(indices: list[int]) -> dict[HybridKey, Tensor]:
        with torch.inference_mode(), pairs.one() if pairs else nullcontext(pair) as own:
            batch = pad(own[0], [rows[i] for i in indices])
            recorded = _Pair(own, batch, random, precision)
            return {key: part.cpu() for key, part in _of_batch(recorded, hybrid_names, batch)}

    def fill(indices: list[int], parts: dict[HybridKey, Tensor]) -> None:
        for key, part in parts.items():
            if key not in vectors:
                vectors[key] = torch.empty(len(rows), *part.shape[1:])
            vectors[key][indices] = part
        if on_batch:
            on_batch(len(indices))

    in_streams(batches, run, fill, most=len(batches) if shared else 1)
    return {key: vectors[key] for key in keys if key in vectors}


class _Copies:
    """Copies of two models that share their weights, so that every thread can replace weights of a copy of its own."""

    def __init__(self, pair: tuple[Encoder, Encoder]) -> None:
        self._pair = pair
        self._free: SimpleQueue[tuple[Encoder, Encoder]] = SimpleQueue()

    @contextmanager
    def one(self) -> Iterator[tuple[Encoder, Encoder]]:
        """Yield a copy that no other thread has at the moment."""
        try:
            own = self._free.get_nowait()
        except Empty:
            one, two = (replace(each, backbone=_same_weights(each.backbone)) for each in self._pair)
            own = one, two
        yield own
        self._free.put(own)


def _same_weights(module: PreTrainedModel) -> PreTrainedModel:
    """Copy a module, but none of its tensors."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def _of_batch(
    recorded: "_Pair", hybrid_names: Sequence[tuple[Hybrid, list[HybridKey]]], batch: Batch
) -> Iterator[tuple[HybridKey, Tensor]]:
    pair = recorded.encoders
    for hybrid, names in hybrid_names:
        with in_precision(recorded.precision, batch.ids.device):
            hidden = recorded.whole(hybrid) if hybrid.is_whole(recorded.anatomy) else recorded.above(hybrid)
        pooled = pooling_of(pair[0])(hidden.float(), batch.pooled)
        for receiver, name in names:
            yield (receiver, name), finish(pair[receiver], pooled)


class _Pair:
    """Two models and the recorded states of their forward passes on one batch, from which hybrids are run."""

    def __init__(
        self, encoders: tuple[Encoder, Encoder], batch: Batch, random: RandomChanges, precision: str = EXACT
    ) -> None:
        self.encoders = encoders
        self.precision = precision
        self.random = random
        self.anatomy: Anatomy = encoders[0].anatomy
        self.inputs: dict[str, Any] = model_inputs(encoders[0], batch)
        self._calls: dict[int, Calls] = {}
        n, width = batch.ids.shape
        self.rows = Rows(torch.arange(n, device=batch.ids.device), n, width)
        self._states: list[tuple[Path, Tensor]] = []  # of the latest hybrid, from below

    def calls(self, side: int) -> Calls:
        """Return the recorded inputs and outputs of all blocks of model `side`, 0 or 1."""
        if side not in self._calls:
            self._calls[side] = self._record(self.encoders[side])
        return self._calls[side]

    def _record(self, encoder: Encoder) -> Calls:
        blocks = {str(k): block for k, block in enumerate(encoder.anatomy.blocks(encoder.backbone), start=1)}
        with capture_calls(blocks) as calls:
            encoder.backbone(**self.inputs)
        return calls

    def above(self, hybrid: Hybrid) -> Tensor:
        """Return the last hidden states of a hybrid. Only layers whose states no earlier pass has computed are run."""
        path, last = hybrid.path(self.anatomy), self.anatomy.n_blocks
        self._states = [
            (shared_path, states) for shared_path, states in self._states if path[: len(shared_path)] == shared_path
        ]
        first, hidden = self._begin(path)
        arguments = self.calls(path[0][0])  # what a block is given besides states is the same for both
        for layer in range(first, last + 1):
            block = self._block(hybrid, layer)
            hidden = call_again(block, arguments.only(str(layer)), hidden, self.rows)
            self._states.append((path[: layer + 1], hidden))
        norm = self.anatomy.layout.final_norm
        if norm is None:
            return hidden
        source = self.encoders[hybrid.owner(last, "final_norm")]
        normed: Tensor = source.backbone.get_submodule(norm)(hidden)
        return normed

    def _begin(self, path: Path) -> tuple[int, Tensor]:
        """Return the lowest layer that a hybrid with these owners (`path`) must run, and the layer's input states."""
        if self._states:
            shared_path, states = self._states[-1]
            return len(shared_path), states
        own = max(1, own_layers(path))
        calls = self.calls(path[0][0])
        if own == len(path):
            return own, calls.only(str(own - 1)).value
        return own, calls.only(str(own)).input

    def _block(self, hybrid: Hybrid, layer: int) -> nn.Module:
        """Return the block that a hybrid runs at a layer.

        It is a block of one of the models, or the first model's block with some parameters of the second, or a block
        with random changes.
        """
        mine, theirs = (self.anatomy.blocks(e.backbone)[layer - 1] for e in self.encoders)
        owners = hybrid.owners(layer, self.anatomy)
        if owners in ({0}, {1}):
            return theirs if owners == {1} else mine
        prefix = f"{self.anatomy.layout.blocks}.{layer - 1}."
        if hybrid.draw is not None:
            return self._changed(hybrid, layer, prefix, theirs if hybrid.base else mine)
        foreign = {
            name: value
            for name, value in theirs.named_parameters()
            if hybrid.owner(layer, self.anatomy.part_of(prefix + name)[1])
        }
        return _With(mine, foreign)

    def _changed(self, hybrid: Hybrid, layer: int, prefix: str, block: nn.Module) -> nn.Module:
        """Return a block with random changes added to those of its parameters that the hybrid changes.

        Args:
            prefix: what precedes the names of the block's parameters in the backbone.
            block: the block of the model whose weights are changed.
        """
        changed = {
            name: value + self.random.of(hybrid.draw or 0, prefix + name)
            for name, value in block.named_parameters()
            if hybrid.owner(layer, self.anatomy.part_of(prefix + name)[1]) == CHANGED
        }
        return _With(block, changed)

    def whole(self, hybrid: Hybrid) -> Tensor:
        """Return the last hidden states of a hybrid, after running all of its layers."""
        mine, theirs = (dict(e.backbone.named_parameters()) for e in self.encoders)
        share = hybrid.share
        base = self.encoders[hybrid.base].backbone
        if hybrid.draw is not None:
            own = theirs if hybrid.base else mine
            mixed = {n: own[n] + self.random.of(hybrid.draw, n) for n in mine if self._owner(hybrid, n) == CHANGED}
        elif share is not None:
            mixed = {name: torch.lerp(value, theirs[name], share) for name, value in mine.items() if name in theirs}
        else:
            mixed = {name: theirs[name] for name in mine if name in theirs and self._owner(hybrid, name) == 1}
        output = functional_call(base, mixed, (), self.inputs)
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _owner(self, hybrid: Hybrid, name: str) -> int:
        """Return the model (0 or 1) from which a parameter of a hybrid comes, or `CHANGED` for a random change."""
        block, part = self.anatomy.part_of(name)
        outside = 0 if part == "embedding" else self.anatomy.n_blocks
        return hybrid.owner(outside if block is None else block + 1, part)


class _With(nn.Module):
    """A block that runs with some parameters replaced, while its own parameters stay unchanged."""

    def __init__(self, block: nn.Module, foreign: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.call = partial(functional_call, block, dict(foreign))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(args, kwargs)
