"""Checks of `doctor` on a pair: do the layers, tensors, tokens and recipes of both models correspond?"""

from collections.abc import Callable, Iterator

import torch

from retroscope.drift.weights import incomparable
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.presets.table import backbone_of, preset_of
from retroscope.inputs.pairing import recipe_differences, same_tokens
from retroscope.inputs.unrelated_texts import unrelated_texts
from retroscope.typesetting.documents import Record

UNKNOWN = "unknown"  # pooling in the recipe of a model that does not record its pooling


def anatomy_facts(encoder: Encoder) -> Record:
    """Return the family, sizes and attention type of an encoder's backbone, as JSON-like values."""
    config = encoder.backbone.config
    return {
        "family": encoder.anatomy.family,
        "blocks": encoder.anatomy.n_blocks,
        "width": int(config.hidden_size),
        "parameters": sum(p.numel() for p in encoder.backbone.parameters()),
        "attention": "causal attention" if encoder.anatomy.causal else "bidirectional attention",
        "last layer": "includes the final norm" if encoder.anatomy.post_norm else "has no final norm",
    }


def _architecture(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether the layers and tensors of both models correspond."""
    for tower in ("query", "passage"):
        first, second = (r.tower(tower) for r in (before, after))
        widths = [anatomy_facts(e)["width"] for e in (first, second)]
        differ = incomparable(first.anatomy, second.anatomy) or (
            f"the backbone has the width {widths[0]}, the retriever {widths[1]}" if widths[0] != widths[1] else ""
        )
        if differ:
            fix = "compare a retriever with the backbone from which it was fine-tuned"
            yield Finding(ERROR, "architecture", f"the architectures differ: {differ}", fix)
            return
    about = anatomy_facts(after.passage)
    yield Finding(PASSED, "architecture", f"both {about['family']}, {about['blocks']} blocks of {about['width']}")


def _weights(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether fine-tuning changed any weight of the encoders or of their heads."""
    changed, alone, tally = dict[str, int](), set[str](), ""
    for tower in ("query", "passage"):
        mine, theirs = (_parameters(r.tower(tower)) for r in (before, after))
        common = [name for name in mine if name in theirs and mine[name].shape == theirs[name].shape]
        alone |= (mine.keys() | theirs.keys()) - set(common)
        changed[tower] = sum(not torch.equal(mine[name], theirs[name].to(mine[name].dtype)) for name in common)
        tally = f"{changed[tower]} of {len(common)} tensors differ"
    if alone:
        text = f"{len(alone)} tensors are in only one model, or differ in shape: {', '.join(sorted(alone)[:3])}"
        yield Finding(WARNING, "weights", text, "see `retroscope diff`; these tensors are not compared")
    still = [tower for tower, n in changed.items() if not n]
    if not still:
        yield Finding(PASSED, "weights", tally)
    elif len(still) == 2 and not alone:
        fix = "give two different models; perhaps an adapter was not loaded, or fine-tuning never changed the backbone"
        yield Finding(ERROR, "weights", f"{tally}: both are the same model", fix)
    else:
        yield Finding(NOTE, "weights", f"no common tensor differs in the {' and '.join(still)} tower")


def _parameters(encoder: Encoder) -> dict[str, torch.Tensor]:
    head = {f"head.{name}": value for name, value in encoder.head.named_parameters()}
    return dict(encoder.backbone.named_parameters()) | head


def _tokenizers(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check whether token ids have the same meaning in both models."""
    words, others = before.passage.tokenizer.get_vocab(), after.passage.tokenizer.get_vocab()
    moved = [word for word, number in words.items() if others.get(word) != number]
    added = sorted(others.keys() - words.keys(), key=others.__getitem__)
    if moved:
        text = f"{len(moved):,} tokens have another id in the retriever, or none, e.g. {moved[0]!r} ({words[moved[0]]})"
        yield Finding(ERROR, "tokenizers", text, "give the backbone of this retriever: the tokenizers differ")
    elif added:
        text = f"the tokenizer grew by {len(added)} tokens: {', '.join(map(repr, added[:5]))}"
        yield Finding(NOTE, "tokenizers", f"{text}; the backbone splits them into other tokens")
    elif not all(same_tokens(before.tower(t), after.tower(t)) for t in ("query", "passage")):
        text = "the vocabularies are equal, but texts are normalised, split or ended differently"
        yield Finding(
            WARNING,
            "tokenizers",
            text,
            "give both models the same tokenizer settings; otherwise measured effects include those of the tokenizer",
        )
    else:
        yield Finding(PASSED, "tokenizers", f"the same tokens for the same texts; the vocabulary has {len(words):,}")


def _recipes(before: Retriever, after: Retriever) -> Iterator[Finding]:
    differences = recipe_differences(before, after)
    for text in differences:
        yield Finding(WARNING, "recipes", text, "give both models the same value, unless you study this difference")
    if not differences:
        unknown = after.passage.recipe.pooling == UNKNOWN
        alike = "equal, except that the pooling is not known" if unknown else "both models have the same recipe"
        yield Finding(NOTE if unknown else PASSED, "recipes", alike)


def _published_backbone(before: Retriever, after: Retriever) -> Iterator[Finding]:
    """Check in the table of presets whether the backbone is the published one of this retriever."""
    sources = [r.passage.source.source if r.passage.source else "" for r in (before, after)]
    expected = backbone_of(sources[1])
    if not expected:
        return
    if sources[0] == expected:
        yield Finding(PASSED, "backbone", f"{expected} is the published backbone of {sources[1]}")
    else:
        what = f"the published backbone of {sources[1]} is {expected}, not {sources[0]}"
        yield Finding(WARNING, "backbone", what, f"see retroscope presets {preset_of(sources[1])}")


PAIR_CHECKS: tuple[Callable[[Retriever, Retriever], Iterator[Finding]], ...] = (
    _architecture,
    _published_backbone,
    _weights,
    _tokenizers,
    _recipes,
    unrelated_texts,
)
