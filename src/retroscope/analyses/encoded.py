"""The retrievers whose texts a study encodes: its models, further trainings, and copies with random weights."""

from collections.abc import Iterator, Mapping, Sequence

from retroscope.analyses.analysis import TowerWork
from retroscope.analyses.context import Context
from retroscope.encoders.encoder import Retriever
from retroscope.representations.represent import TowerPlan


def encoded_towers(context: Context, retrievers: Mapping[str, Retriever]) -> list[TowerWork]:
    """Return the planned encoding of every tower of these retrievers over the context's collection.

    A tower that shares the pass of an earlier tower (`TowerPlan.shares_pass`) takes no additional time.
    """
    works: list[TowerWork] = []
    passes: list[tuple[str, TowerPlan]] = []
    for role, retriever in retrievers.items():
        for tower in context.towers(retriever):
            within = next(
                (other for other, leader in passes if leader.tower == tower.tower and leader.shares_pass(tower)), ""
            )
            works.append(context.tower_document(role, tower, within))
            if not tower.is_stored and not within:
                passes.append((role, tower))
    return works


def named_retrievers(context: Context) -> dict[str, Retriever]:
    """Map roles ("before", "after", "training 2") to the study's models and further trainings."""
    others = {f"training {number}": one for number, one in enumerate(context.trainings, start=2)}
    return {**context.models, **others}


def encoded_retrievers(context: Context, random_weights: Sequence[str]) -> dict[str, Retriever]:
    """Map roles to the retrievers whose vectors are computed. Identical random-weight copies are kept once."""
    models = named_retrievers(context) if context.first else dict(context.models)
    return models | dict(_copies(context, random_weights))


def _copies(context: Context, models: Sequence[str]) -> Iterator[tuple[str, Retriever]]:
    """Yield the role and the copy for each distinct random-weight copy of these models."""
    copies: dict[tuple[str, str], tuple[str, Retriever]] = {}
    for role in models:
        copy = context.with_random_weights(role)
        if copy is not None:
            copies.setdefault((copy.query.fingerprint, copy.passage.fingerprint), (role, copy))
    for role, copy in copies.values():
        yield "random weights" if len(copies) == 1 else f"random weights of {role}", copy
