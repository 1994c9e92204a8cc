"""Check that the weights of two models can be exchanged."""

from typing import Any

from retroscope.encoders.encoder import Encoder
from retroscope.errors import EncoderError

# Of a configuration: what changes a vector without any weight.
COMPUTES = ("num_attention_heads", "num_key_value_heads", "head_dim", "n_head", "num_heads", "rope_theta",
            "rope_parameters", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "hidden_act",
            "hidden_activation", "activation_function", "feed_forward_proj", "sliding_window",
            "layer_types")  # fmt: skip


def check_transplantable(receiver: Encoder, donor: Encoder) -> None:
    """Refuse two models whose weights cannot be exchanged.

    Raises:
        EncoderError: with the first tensors that differ in shape.
    """
    mine, theirs = (dict(e.backbone.named_parameters()) for e in (receiver, donor))
    apart = [
        name
        for name in {**mine, **theirs}
        if "pooler" not in name and (name not in mine or name not in theirs or mine[name].shape != theirs[name].shape)
    ]
    if apart:
        raise EncoderError(
            f"{receiver.name} and {donor.name} differ in the names or shapes of {len(apart)} tensors, e.g. {apart[0]}",
            fix="compare a backbone with the retriever that was fine-tuned from it",
        )
    one, two = (_computes(encoder) for encoder in (receiver, donor))
    differ = [f"{name} ({one[name]} and {two[name]})" for name in one if one[name] != two[name]]
    if differ:
        raise EncoderError(
            f"{receiver.name} and {donor.name} differ in how they compute: {', '.join(differ)}",
            fix="load both models with the same options, because a hybrid has only one recipe",
        )


def _computes(encoder: Encoder) -> dict[str, Any]:
    """Return everything, except the weights, that determines the computation of a model."""
    config = encoder.backbone.config.to_dict()
    measured = {"causal attention": encoder.anatomy.causal, "number format": str(encoder.backbone.dtype)}
    return measured | {name: config.get(name) for name in COMPUTES}
