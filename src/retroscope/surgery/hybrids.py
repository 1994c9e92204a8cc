"""Hybrids of two models, run together: layers that several hybrids share are run once.

Of a batch, each model runs once and is recorded. A hybrid begins at the state below its first change of owner, so that
only what lies above is run; the backbone with the retriever's top is the retriever with the backbone's bottom, and is
one hybrid.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from retroscope.encoders.anatomy import Anatomy
from retroscope.encoders.capture import Calls, Rows, call_again, capture_calls
from retroscope.encoders.encode import Batch, TokenIds, batches_by_length, finish, model_inputs, pad
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.pooling import pooling
from retroscope.encoders.token_budgets import DEFAULT_BUDGET
from retroscope.surgery.pairs import check_transplantable
from retroscope.surgery.random_changes import RandomChanges
from retroscope.surgery.transplant import Transplant, named

# Families whose blocks hand one another more than hidden states, made from weights: they are run whole.
ENTANGLED = frozenset({"t5", "mt5", "mpnet", "deberta-v2"})
OUTSIDE = ((0, "embedding"), (None, "final_norm"), (None, "other"))  # of the blocks; None: the last layer

CHANGED = 2  # the owner of what is changed at random
Wanted = tuple[int, str]  # which of the two receives (0 or 1), and the transplant's name


@dataclass(frozen=True)
class _Hybrid:
    """The owner of each weight of a hybrid.

    Attributes:
        owner: of layer and part: 0 or 1, which of the two; `CHANGED` where the base's is changed at random.
        share: of the second model in an interpolation; else None.
        draw: of a random change; else None.
        base: whose weights are changed at random.
    """

    owner: Callable[[int, str], int]
    share: float | None
    draw: int | None = None
    base: int = 0

    def signature(self, places: Sequence[tuple[int, str]]) -> object:
        """Return a value that is equal for two names of one model."""
        if self.share is not None:
            return self.share
        owners = tuple(self.owner(*place) for place in places)
        return owners if self.draw is None else (self.draw, self.base, owners)

    def is_whole(self, anatomy: Anatomy) -> bool:
        """Return whether it must be run from its embeddings."""
        outside = any(self.owner(anatomy.n_blocks if at is None else at, part) == CHANGED for at, part in OUTSIDE)
        return self.share is not None or anatomy.family in ENTANGLED or outside


def _hybrid(receiver: int, transplant: Transplant) -> _Hybrid:
    share, draw = transplant.share, transplant.draw
    if draw is not None:
        return _Hybrid(
            lambda layer, part: CHANGED if transplant.donates(layer, part) else receiver, None, draw, receiver
        )
    if share is not None and receiver == 1:
        share = 1 - share
    return _Hybrid(lambda layer, part: receiver ^ int(transplant.donates(layer, part)), share)


def transplanted(
    receiver: Encoder,
    donor: Encoder,
    rows: Sequence[TokenIds],
    names: Sequence[str],
    *,
    tokens: int = DEFAULT_BUDGET,
    on_batch: Callable[[int], None] | None = None,
) -> dict[str, Float[Tensor, "text out"]]:
    """Return the final vectors of tokenised texts under every transplant, in the order given, on the CPU.

    Recipe, pooler and head are the receiver's.

    Args:
        tokens: padded tokens of a batch.
        on_batch: receives the number of texts of each batch that is done.
    """
    hybrid_vectors = hybrids((receiver, donor), rows, [(0, name) for name in names], tokens=tokens, on_batch=on_batch)
    return {name: vectors for (_, name), vectors in hybrid_vectors.items()}


def hybrids(
    pair: tuple[Encoder, Encoder],
    rows: Sequence[TokenIds],
    wanted: Sequence[Wanted],
    *,
    tokens: int = DEFAULT_BUDGET,
    on_batch: Callable[[int], None] | None = None,
    random: RandomChanges | None = None,
) -> dict[Wanted, Float[Tensor, "text out"]]:
    """Return what `transplanted` does, for hybrids in either direction: two names of one model are run once.

    Args:
        pair: two encoders whose recipes pad and pool alike, if both are to receive.
        wanted: for each hybrid, which of the two receives, and the name of its transplant.
        random: the random changes of the pair, to keep them from call to call.
    """
    check_transplantable(*pair)
    random = random or RandomChanges(pair)
    vectors: dict[Wanted, Tensor] = {}
    recipe = pair[0].recipe
    lengths = [recipe.max_length if recipe.pad_to_max else len(row) for row in rows]
    for indices in batches_by_length(lengths, tokens):
        batch = pad(pair[0], [rows[i] for i in indices])
        with torch.inference_mode():
            for key, part in _of_batch(_Pair(pair, batch, random), wanted, batch):
                if key not in vectors:
                    vectors[key] = torch.empty(len(rows), *part.shape[1:])
                vectors[key][indices] = part.cpu()
        if on_batch:
            on_batch(len(indices))
    return vectors


def encodings(anatomy: Anatomy, wanted: Sequence[Wanted]) -> float:
    """Return how many whole encodings of a text `hybrids` costs, both models' own among them, counted in blocks."""
    run: dict[object, float] = {}
    for receiver, name in wanted:
        hybrid = _hybrid(receiver, named(name, anatomy.n_blocks))
        whole = hybrid.is_whole(anatomy)
        above = anatomy.n_blocks + 1 - _prefix(hybrid, anatomy)[0]
        run[hybrid.signature(_places(anatomy))] = 1 if whole else above / anatomy.n_blocks
    return 2 + sum(run.values())


def _parts(anatomy: Anatomy) -> list[str]:
    return sorted({name.partition(".")[0] for name in anatomy.layout.in_block()})


def _places(anatomy: Anatomy) -> list[tuple[int, str]]:
    """Return layer and part of every weight that has an owner."""
    last = anatomy.n_blocks
    inside = [(layer, part) for layer in range(1, last + 1) for part in _parts(anatomy)]
    return [*inside, *((last if layer is None else layer, part) for layer, part in OUTSIDE)]


def _prefix(hybrid: _Hybrid, anatomy: Anatomy) -> tuple[int, int]:
    """Return the first layer that must be run, and whose states it begins with.

    As many blocks as are one model's alone, its embeddings below them, were run already.
    """
    side = hybrid.owner(0, "embedding")
    layer = 1
    while layer <= anatomy.n_blocks and _owners(hybrid, layer, anatomy) == {side}:
        layer += 1
    return layer, side


def _owners(hybrid: _Hybrid, layer: int, anatomy: Anatomy) -> set[int]:
    return {hybrid.owner(layer, part) for part in _parts(anatomy)}


def _of_batch(recorded: "_Pair", wanted: Sequence[Wanted], batch: Batch) -> Iterator[tuple[Wanted, Tensor]]:
    pair = recorded.encoders
    done: dict[object, Tensor] = {}
    for receiver, name in wanted:
        hybrid = _hybrid(receiver, named(name, recorded.anatomy.n_blocks))
        signature = hybrid.signature(recorded.places)
        if signature not in done:
            hidden = recorded.whole(hybrid) if hybrid.is_whole(recorded.anatomy) else recorded.above(hybrid)
            done[signature] = pooling(pair[0].recipe.pooling)(hidden.float(), batch.pooled)
        yield (receiver, name), finish(pair[receiver], done[signature])


class _Pair:
    """Both models on one batch, recorded on first use."""

    def __init__(self, encoders: tuple[Encoder, Encoder], batch: Batch, random: RandomChanges) -> None:
        self.encoders = encoders
        self.random = random
        self.anatomy: Anatomy = encoders[0].anatomy
        self.inputs: dict[str, Any] = model_inputs(encoders[0], batch)
        self._calls: dict[int, Calls] = {}
        n, width = batch.ids.shape
        self.rows = Rows(torch.arange(n, device=batch.ids.device), n, width)
        self.places = _places(self.anatomy)

    def calls(self, side: int) -> Calls:
        """Return the recorded calls of one of the models."""
        if side not in self._calls:
            self._calls[side] = self._record(self.encoders[side])
        return self._calls[side]

    def _record(self, encoder: Encoder) -> Calls:
        blocks = {str(k): block for k, block in enumerate(encoder.anatomy.blocks(encoder.backbone), start=1)}
        with capture_calls(blocks) as calls:
            encoder.backbone(**self.inputs)
        return calls

    def above(self, hybrid: _Hybrid) -> Tensor:
        """Return the last hidden states; what lies below the first change of owner is not run again."""
        start, side = _prefix(hybrid, self.anatomy)
        last = self.anatomy.n_blocks
        if start > last:
            hidden = self.calls(side).only(str(last)).value
        else:
            hidden = self.calls(side).only(str(start)).input
        arguments = self.calls(side)  # what a block is given besides states is the same for both
        for layer in range(start, last + 1):
            block = self._block(hybrid, layer)
            hidden = call_again(block, arguments.only(str(layer)), hidden, self.rows)
        norm = self.anatomy.layout.final_norm
        if norm is None:
            return hidden
        source = self.encoders[hybrid.owner(last, "final_norm")]
        normed: Tensor = source.backbone.get_submodule(norm)(hidden)
        return normed

    def _block(self, hybrid: _Hybrid, layer: int) -> nn.Module:
        """Return a block of either model, or the first's with some of the second's parameters."""
        mine, theirs = (self.anatomy.blocks(e.backbone)[layer - 1] for e in self.encoders)
        owners = _owners(hybrid, layer, self.anatomy)
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

    def _changed(self, hybrid: _Hybrid, layer: int, prefix: str, block: nn.Module) -> nn.Module:
        """Return the base's block with random changes in what the hybrid names."""
        changed = {
            name: value + self.random.of(hybrid.draw or 0, prefix + name)
            for name, value in block.named_parameters()
            if hybrid.owner(layer, self.anatomy.part_of(prefix + name)[1]) == CHANGED
        }
        return _With(block, changed)

    def whole(self, hybrid: _Hybrid) -> Tensor:
        """Return the last hidden states of a hybrid that is run from its embeddings."""
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

    def _owner(self, hybrid: _Hybrid, name: str) -> int:
        """Return the model that a parameter is taken from."""
        block, part = self.anatomy.part_of(name)
        outside = 0 if part == "embedding" else self.anatomy.n_blocks
        return hybrid.owner(outside if block is None else block + 1, part)


class _With(nn.Module):
    """A block that is called with some parameters of another; neither is changed."""

    def __init__(self, block: nn.Module, foreign: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.call = partial(functional_call, block, dict(foreign))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block with the changed parameters."""
        return self.call(args, kwargs)
