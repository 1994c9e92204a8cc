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
    """Check that two models can exchange weights.

    Raises:
        EncoderError: if their tensors differ in name or shape, or if settings such as the number of attention heads
            differ.
    """
    mine, theirs = (dict(e.backbone.named_parameters()) for e in (receiver, donor))
    apart = [
        name
        for name in {**mine, **theirs}
        if "pooler" not in name and (name not in mine or name not in theirs or mine[name].shape != theirs[name].shape)
    ]
    if apart:
        raise EncoderError(
            f"{len(apart)} tensors of {receiver.name} and {donor.name} differ in name or shape, e.g. {apart[0]}, so "
            "weights cannot be exchanged",
            fix="compare a backbone with the retriever that was fine-tuned from it",
        )
    own_settings, their_settings = (_computes(encoder) for encoder in (receiver, donor))
    differ = [
        f"{name} ({own_settings[name]} and {their_settings[name]})"
        for name in own_settings
        if own_settings[name] != their_settings[name]
    ]
    if differ:
        raise EncoderError(
            f"{receiver.name} and {donor.name} differ in settings that change the vectors: {', '.join(differ)}",
            fix="load both models with the same options, because a hybrid has only one recipe",
        )


def _computes(encoder: Encoder) -> dict[str, Any]:
    """Return the settings that determine a model's vectors in addition to its weights, e.g. `layer_norm_eps`."""
    config = encoder.backbone.config.to_dict()
    measured = {"causal attention": encoder.anatomy.causal, "number format": str(encoder.backbone.dtype)}
    return measured | {name: config.get(name) for name in COMPUTES}
