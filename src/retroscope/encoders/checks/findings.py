"""Find signs of a wrong recipe, a wrong model class or a missing module, without any data."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.checkpoints.adapters import base_weights, load_backbone
from retroscope.encoders.checkpoints.backbones import How
from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, MODULES, read_json
from retroscope.encoders.checkpoints.modules import SETTINGS, read_modules
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding, Origin
from retroscope.encoders.checks.library import check_library, self_test_finding
from retroscope.encoders.checks.selftest import SENTENCES, self_test, tolerance
from retroscope.encoders.checks.signatures import (
    check_chosen_pooling,
    check_head,
    check_mean_of_decoder,
    check_new_tokens,
    check_own_code,
    check_training,
)
from retroscope.encoders.checks.unrelated import NARROW, UNRELATED, unrelated_cosines
from retroscope.encoders.encode import encode_layers, forward, model_inputs, pad, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import freeze, look_both_ways

# Prompts that cards of retrievers ask for, as they are written there.
CARD_PROMPTS = (
    r"[\"'`](query|passage|search_query|search_document): ",
    r"Represent this (sentence|question|document)[^\"'`\n]*:",
    r"[\"'`]Instruct: ",
)


def encoder_findings(encoder: Encoder, origin: Origin) -> list[Finding]:
    """Run every check of `CHECKS` on one encoder, and return all findings."""
    return [finding for check in CHECKS.values() for finding in check(encoder, origin)]


def check_loading(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Report how many tensors came from the checkpoint, and how they were compared with it."""
    proof = encoder.proof
    left = f"; heads that are not used: {', '.join(proof.unexpected[:3])}" if proof.unexpected else ""
    how = "counted only" if proof.counted else "compared value by value"
    yield Finding(PASSED, "loading", f"{proof.loaded} tensors come from the checkpoint ({how}){left}")
    for note in proof.notes:
        yield Finding(NOTE, "loading", note)
    if proof.wrapper == "DPRContextEncoder":
        yield Finding(
            WARNING,
            "loading",
            "this is a DPR context encoder: AutoModel would load it as a question encoder with random weights",
            "load it with DPRContextEncoder in other tools",
        )


def check_invariance(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Run the self-tests (other padding and batches), and yield one finding for each."""
    yield from map(self_test_finding, self_test(encoder))


def check_repeated_text(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that a text gets the same vector twice. Dropout, or a state that the model keeps, would change it."""
    twice = encode_layers(encoder, [SENTENCES[0], *SENTENCES, SENTENCES[0]]).final
    apart = float(_relative(twice[:1], twice[-1:]).max())
    evidence = f"the vectors of one text, at the start and at the end of a batch, differ by {apart:.1g} of their length"
    limit = tolerance(encoder)
    fix = "load the model in evaluation mode: a part of it draws random numbers or keeps a state"
    yield Finding(PASSED, "duplicate", evidence) if apart <= limit else Finding(ERROR, "duplicate", evidence, fix)


def check_distinct_texts(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that different texts have different vectors."""
    vectors = encode_layers(encoder, SENTENCES).final
    n = len(vectors)
    gaps = torch.stack([_relative(vectors[i : i + 1], vectors[j : j + 1]) for i in range(n) for j in range(i)])
    evidence = f"vectors of different texts differ by at least {float(gaps.min()):.2g} of their length"
    if float(gaps.min()) > tolerance(encoder):
        yield Finding(PASSED, "different texts", evidence)
        return
    fix = "check the pooling: it may read a token whose state does not depend on the text"
    yield Finding(ERROR, "different texts", f"{evidence}: the model cannot tell the texts apart", fix)


def check_spread(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that the vectors of unrelated texts do not all point in nearly the same direction."""
    similar = unrelated_cosines(encoder)
    low, high = float(similar.min()), float(similar.max())
    evidence = f"cosines of {len(UNRELATED)} sentences about unrelated topics: {low:.2f} to {high:.2f}"
    if low > NARROW:
        fix = "for a backbone, which was not trained to compare texts, this is usual; for a retriever, check the recipe"
        yield Finding(WARNING, "similarities", f"{evidence}, all above {NARROW:g}: texts hardly differ", fix)
    else:
        yield Finding(PASSED, "similarities", evidence)


def check_pooling(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that the pooling fits the attention (causal or not), and that a pooler was trained."""
    how, causal = encoder.recipe.pooling, encoder.anatomy.causal
    if causal and how in ("cls", "pooler"):
        yield Finding(
            ERROR,
            "pooling",
            f"{how} pooling on a decoder, whose first token attends only to itself",
            "use last_token with append_eos, or mean (--pooling)",
        )
    elif not causal and how == "last_token":
        yield Finding(
            WARNING,
            "pooling",
            "last-token pooling on a bidirectional model, which is rarely trained with it",
            "check which pooling the model was trained with (--pooling)",
        )
    if how == "pooler" and not bool(encoder.backbone.pooler.dense.bias.any()):
        yield Finding(
            WARNING,
            "pooling",
            "the tanh pooler was probably never trained: its bias is exactly 0",
            "use cls, or the pooling that the model was trained with",
        )


def check_last_token(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that last-token pooling reads EOS, and warn if the last column of a batch would be padding.

    Some tools read the last column of a batch instead of the last token of each text.
    """
    if encoder.recipe.pooling != "last_token":
        return
    rows = tokenise(encoder, SENTENCES)
    if any(row[-1] not in encoder.tokenizer.all_special_ids for row in rows):
        last = encoder.tokenizer.convert_ids_to_tokens(rows[0][-1])
        yield Finding(
            WARNING,
            "last token",
            f"texts do not end with EOS ({SENTENCES[0]!r} ends with {last!r}): a text has the vector of its last word",
            "if the model was trained with EOS, as RepLLaMA and E5-mistral were, give append_eos=true",
        )
    if encoder.recipe.padding_side == "right":
        moved = float(_relative(_last_column(encoder, rows), encode_layers(encoder, SENTENCES).layers[:, -1]).max())
        yield Finding(
            WARNING,
            "last token",
            "padding is on the right: tools that pool the last column of a batch pool padding, which changes a vector "
            f"by {moved:.2g} of its length; Retroscope reads the last real token",
            "set padding_side to left in such tools",
        )


def _last_column(encoder: Encoder, rows: list[list[int]]) -> Float[Tensor, "text dim"]:
    """Return the vectors of the last column of a batch that is padded on the right."""
    batch = pad(encoder, rows, side="right")
    with torch.inference_mode():
        hidden: Tensor = encoder.backbone(**model_inputs(encoder, batch)).last_hidden_state
    return hidden[:, -1].float().cpu()


def check_prompts(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Warn if the model card or the checkpoint declares prompts, but the model is used without any."""
    source = origin.path
    if origin.prompted or not source.is_dir():
        return
    declared = {name: text for name, text in (read_json(source, SETTINGS).get("prompts") or {}).items() if text}
    if declared:
        prompts = ", ".join(f"{name} {text!r}" for name, text in declared.items())
        yield Finding(
            WARNING,
            "prompts",
            f"{SETTINGS} declares prompts, but the recipe has none: {prompts}",
            "give the prompts that the model was trained with (--query-prompt, --passage-prompt)",
        )
    card = source / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    request = next((match for pattern in CARD_PROMPTS if (match := re.search(pattern, text))), None)
    if request and not declared:
        line = text[text.rfind("\n", 0, request.start()) + 1 :].splitlines()[0].strip()
        yield Finding(
            WARNING,
            "prompts",
            f"the model card mentions a prompt, but the recipe has none: {line[:100]!r}",
            "give the prompts of the model card (--query-prompt, --passage-prompt)",
        )


def check_vocabulary(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Compare how many tokens the tokenizer has with how many rows the embedding has."""
    rows, tokens = len(encoder.backbone.get_input_embeddings().weight), len(encoder.tokenizer)
    if rows == tokens:
        yield Finding(PASSED, "tokenizer", f"{tokens:,} tokens, as many as the embedding has rows")
    elif rows > tokens:
        yield Finding(NOTE, "tokenizer", f"the embedding has {rows - tokens:,} more rows than the tokenizer has tokens")
    else:
        special = "special tokens, which no text contains"
        yield Finding(NOTE, "tokenizer", f"{tokens - rows:,} tokens have no row in the embedding: {special}")


def check_adapter(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that the adapter, if there is one, changes the vectors of the base model."""
    source, load = origin.path, origin.load
    folder = read_modules(source, "passage").transformer if (source / MODULES).is_file() else source
    if not (folder / ADAPTER_CONFIG).is_file():
        return
    base = load_backbone(base_weights(folder, load.base), How(getattr(torch, load.dtype), load.trust_remote_code))
    if encoder.recipe.causal is False:
        look_both_ways(base.model)
    under = replace(encoder, backbone=freeze(base.model).to(encoder.device))
    moved = _relative(encode_layers(encoder, SENTENCES).final, encode_layers(under, SENTENCES).final)
    evidence = f"the adapter changes vectors by {float(moved.min()):.2g} to {float(moved.max()):.2g} of their length"
    if float(moved.max()) <= tolerance(encoder):
        fix = "give the trained adapter: an untrained adapter, or one with a scale of 0, changes nothing"
        yield Finding(ERROR, "adapter", f"{evidence}, which is no more than rounding", fix)
    else:
        yield Finding(PASSED, "adapter", evidence)


def check_finite(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check that every value of every layer is finite."""
    batch = pad(encoder, tokenise(encoder, SENTENCES))
    with torch.inference_mode():
        layers = forward(encoder, batch).layers
    broken = [k for k in range(layers.shape[1]) if not bool(torch.isfinite(layers[:, k]).all())]
    if broken:
        fix = "use float32 (dtype='float32', --set after.load.dtype=float32); half precision may overflow"
        yield Finding(ERROR, "numbers", f"layers {broken} contain values that are not finite", fix)


def _relative(vectors: Float[Tensor, "text dim"], expected: Float[Tensor, "text dim"]) -> Float[Tensor, "text"]:
    gap: Tensor = (vectors - expected).norm(dim=-1) / expected.norm(dim=-1).clamp(min=1e-12)
    return gap


CHECKS: dict[str, Callable[[Encoder, Origin], Iterator[Finding]]] = {
    "loading": check_loading,
    "own_code": check_own_code,
    "finite": check_finite,
    "invariance": check_invariance,
    "library": check_library,
    "repeated": check_repeated_text,
    "told_apart": check_distinct_texts,
    "narrow": check_spread,
    "pooling": check_pooling,
    "last_token": check_last_token,
    "prompts": check_prompts,
    "vocabulary": check_vocabulary,
    "adapter": check_adapter,
    "head": check_head,
    "chosen_pooling": check_chosen_pooling,
    "mean_of_decoder": check_mean_of_decoder,
    "new_tokens": check_new_tokens,
    "training": check_training,
}
