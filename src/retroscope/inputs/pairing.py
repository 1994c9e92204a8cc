"""Check whether two models can be compared layer by layer, and find how they differ apart from the weights."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from retroscope.collection.collection import Collection
from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import EncoderError

USER = "user"  # `Retriever.similarity_source` of a similarity that the user gave
TOKENS_ONLY = ("prompt", "suffix", "append_eos")  # of a recipe: nothing but the tokens of a text


def check_pair(before: Retriever, after: Retriever) -> None:
    """Refuse two models with different numbers of blocks, because their layers cannot be paired."""
    depths = {side: retriever.passage.anatomy.n_blocks for side, retriever in (("before", before), ("after", after))}
    if depths["before"] != depths["after"]:
        raise EncoderError(
            f"layers cannot be paired: {before.name} has {depths['before']} blocks, {after.name} has {depths['after']}",
            fix="compare a retriever with the backbone from which it was fine-tuned",
        )


def compared_like(backbone: Retriever, retriever: Retriever) -> Retriever:
    """Return the backbone with the retriever's similarity (dot or cosine), so that both models compare vectors alike.

    If the user set the similarity of the backbone, it stays. Otherwise, `own_similarity` records the similarity of the
    backbone's checkpoint if that is a different one.
    """
    if backbone.similarity == retriever.similarity or backbone.similarity_source == USER:
        return backbone
    own, new = backbone.own_similarity or backbone.similarity, retriever.similarity
    source, earlier = f"as {retriever.name} is", None if own == new else own
    return replace(backbone, similarity=new, similarity_source=source, own_similarity=earlier)


def recipe_differences(before: Retriever, after: Retriever) -> list[str]:
    """Return a warning that lists how the recipes of two models differ (e.g. in pooling), or [] if they do not.

    Differences in prompt, suffix and EOS are ignored if both models give sample texts the same token ids: EOS may be
    added by the recipe of one model and by the tokenizer of the other.
    """
    pairs: dict[str, tuple[object, object]] = {"similarity": (before.similarity, after.similarity)}
    for tower in ("query", "passage"):
        one, two = (retriever.tower(tower).recipe.identity() for retriever in (before, after))
        alike = TOKENS_ONLY if same_tokens(before.tower(tower), after.tower(tower)) else ()
        pairs |= {f"{tower} {field}": (one[field], two[field]) for field in one if field not in alike}
    differences = [f"{name} ({one!r} before, {two!r} after)" for name, (one, two) in pairs.items() if one != two]
    if not differences:
        return []
    return [f"the recipes differ in {', '.join(differences)}: each effect is due to weights and recipe together"]


def same_tokens(one: Encoder, two: Encoder) -> bool:
    """Return whether two encoders give sample texts the same token ids, including prompts and end tokens."""
    return tokenise(one, SENTENCES) == tokenise(two, SENTENCES)


def same_weights(one: Encoder, two: Encoder) -> bool:
    """Return whether two encoders have equal weights. Their recipes may differ."""
    if one.backbone is two.backbone:
        return True
    mine, theirs = one.backbone.state_dict(), two.backbone.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def same_recipe(one: Encoder, two: Encoder) -> bool:
    """Return whether two recipes are equal, apart from the fields that only add tokens (prompt, suffix, EOS)."""
    mine, theirs = (e.recipe.identity() for e in (one, two))
    return all(mine[field] == theirs[field] for field in mine if field not in TOKENS_ONLY)


def distinct_names(retrievers: Sequence[Retriever]) -> list[Retriever]:
    """Return the retrievers under distinct names: a repeated name gets a number, e.g. "e5 (2)"."""
    names: list[str] = []
    for retriever in retrievers:
        number, name = 2, retriever.name
        while name in names:
            name, number = f"{retriever.name} ({number})", number + 1
        names.append(name)
    return [replace(retriever, name=name) for retriever, name in zip(retrievers, names, strict=True)]


def distinct_collections(collections: Sequence[Collection]) -> tuple[Collection, ...]:
    """Return the collections under distinct names: a repeated name gets a number, e.g. "nq (2)"."""
    names: list[str] = []
    for collection in collections:
        number, name = 2, collection.name
        while name in names:
            name, number = f"{collection.name} ({number})", number + 1
        names.append(name)
    return tuple(replace(collection, name=name) for collection, name in zip(collections, names, strict=True))
