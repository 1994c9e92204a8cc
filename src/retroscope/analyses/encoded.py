"""The retrievers whose vectors a study makes: models, further trainings, and copies with random weights."""

from collections.abc import Iterator, Sequence
from typing import Any

from retroscope.analyses.context import Context
from retroscope.encoders.encoder import Retriever


def encoded_towers(contexts: Sequence[Context]) -> list[dict[str, Any]]:
    """Return the facts of every tower whose texts are encoded for all analyses, each tower of each model once.

    Args:
        contexts: one for each collection, the first collection's first.
    """
    return [
        context.tower_document(role, tower)
        for context in contexts
        for role, retriever in encoded_retrievers(context).items()
        for tower in context.towers(retriever)
    ]


def named_retrievers(context: Context) -> dict[str, Retriever]:
    """Map roles to models, further trainings included."""
    others = {f"training {number}": one for number, one in enumerate(context.trainings, start=2)}
    return {**context.models, **others}


def encoded_retrievers(context: Context) -> dict[str, Retriever]:
    """Map roles to the retrievers whose vectors are computed; equal copies are one."""
    if not context.first:
        return dict(context.models)
    return named_retrievers(context) | dict(_copies(context))


def _copies(context: Context) -> Iterator[tuple[str, Retriever]]:
    """Return the distinct copies with random weights, by role."""
    copies: dict[tuple[str, str], tuple[str, Retriever]] = {}
    for role in context.models:
        copy = context.with_random_weights(role)
        if copy is not None:
            copies.setdefault((copy.query.fingerprint, copy.passage.fingerprint), (role, copy))
    for role, copy in copies.values():
        yield "random weights" if len(copies) == 1 else f"random weights of {role}", copy
