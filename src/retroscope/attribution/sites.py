"""Find the FFN matrices (sites) whose output units are the neurons.

The matrices of an FFN have the same names in all model families:
- `intermediate`: the matrix whose output goes into the activation function (BERT's intermediate.dense, LLaMA's
  gate_proj);
- `up`: the other input matrix of a gated FFN (LLaMA's up_proj). FFNs without a gate have none;
- `output`: the matrix that maps back to the hidden size (BERT's output.dense, LLaMA's down_proj).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from retroscope.attribution.settings import PARTS
from retroscope.encoders.encoder import Encoder
from retroscope.errors import EncoderError, unknown_name


@dataclass(frozen=True)
class Site:
    """One FFN matrix of one block, whose outputs are neurons.

    Attributes:
        layer: the layer (1..L) of its block.
        part: "intermediate", "up" or "output".
        role: name of the matrix's module in the `Layout` of the model family ("ffn_in", "ffn_gate" or "ffn_out").
        path: path of the module, from the backbone.
        half: 0 or 1 if the module holds two matrices, of which this is the first or second. None if it holds one.
    """

    layer: int
    part: str
    role: str
    path: str
    half: int | None = None

    @property
    def block(self) -> int:
        """Return the index of the block to which this matrix belongs, 0..L-1."""
        return self.layer - 1

    def units(self, values: Tensor) -> Tensor:
        """Select this FFN matrix's outputs from the outputs of its module, which may hold two matrices."""
        return values if self.half is None else values.chunk(2, dim=-1)[self.half]

    def weight(self, encoder: Encoder) -> Float[Tensor, "neuron input"]:
        """Return the weights of this FFN matrix. Row i belongs to neuron i."""
        weight: Tensor = encoder.backbone.get_submodule(self.path).weight
        stored = weight.T if encoder.anatomy.layout.transposed else weight
        return stored if self.half is None else stored.chunk(2, dim=0)[self.half]


def find_sites(encoder: Encoder, parts: Sequence[str]) -> tuple[Site, ...]:
    """Return the FFN matrices of every block, block by block.

    Args:
        parts: names of FFN matrices: "intermediate", "up" or "output".

    Raises:
        SettingsError: if a name is unknown.
        EncoderError: if `parts` has "up", and the FFN of this model has no gate.
    """
    for part in parts:
        if part not in PARTS:
            raise unknown_name("part", part, PARTS)
    anatomy = encoder.anatomy
    roles = _roles(encoder)
    lacking = [part for part in parts if part not in roles]
    if lacking:
        raise EncoderError(
            f"the family {anatomy.family!r} has no FFN matrix {lacking[0]!r}, because its FFN is not gated",
            where=encoder.name,
            fix=f"use only the FFN matrices {', '.join(roles)}",
        )
    return tuple(
        Site(block + 1, part, roles[part][0], anatomy.path(roles[part][0], block), roles[part][1])
        for block in range(anatomy.n_blocks)
        for part in PARTS
        if part in parts
    )


def _roles(encoder: Encoder) -> dict[str, tuple[str, int | None]]:
    """Return (name of its module in the model family's layout, half of that module) for each FFN matrix.

    The half is None if the module holds only this matrix.
    """
    layout = encoder.anatomy.layout
    if layout.fused_gate:
        return {"intermediate": ("ffn_in", 0), "up": ("ffn_in", 1), "output": ("ffn_out", None)}
    if layout.ffn_gate:
        return {"intermediate": ("ffn_gate", None), "up": ("ffn_in", None), "output": ("ffn_out", None)}
    return {"intermediate": ("ffn_in", None), "output": ("ffn_out", None)}
