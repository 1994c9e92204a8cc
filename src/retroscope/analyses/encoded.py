"""The retrievers that encode the texts of a study: its models, other training runs, and copies with random weights."""

from collections.abc import Iterator, Mapping, Sequence

from retroscope.analyses.analysis import TowerWork
from retroscope.analyses.context import Context
from retroscope.encoders.encoder import Retriever
from retroscope.representations.represent import TowerPlan


def encoded_towers(context: Context, retrievers: Mapping[str, Retriever]) -> list[TowerWork]:
    """Return the plans for encoding a collection with each retriever: one for the queries, one for the passages.

    An encoding takes no additional time if the forward pass of an earlier one also gives its vectors, e.g. if the two
    retrievers differ only in pooling (`TowerPlan.shares_pass`).
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
    """Return the models and other training runs of the study by role: "before", "after", "training 2" ..."""
    trainings = {f"training {number}": training for number, training in enumerate(context.trainings, start=2)}
    return {**context.models, **trainings}


def encoded_retrievers(context: Context, random_weights: Sequence[str]) -> dict[str, Retriever]:
    """Return role (e.g. "after", "random weights") -> retriever, for every retriever that encodes the collection.

    Other training runs ("training 2" ...) encode the first collection only. Equal random-weight copies are listed once.
    """
    models = named_retrievers(context) if context.first else dict(context.models)
    return models | dict(_copies(context, random_weights))


def _copies(context: Context, models: Sequence[str]) -> Iterator[tuple[str, Retriever]]:
    """Yield each distinct random-weight copy of these models with its role, such as "random weights of after"."""
    copies: dict[tuple[str, str], tuple[str, Retriever]] = {}
    for role in models:
        copy = context.with_random_weights(role)
        if copy is not None:
            copies.setdefault((copy.query.fingerprint, copy.passage.fingerprint), (role, copy))
    for role, copy in copies.values():
        yield "random weights" if len(copies) == 1 else f"random weights of {role}", copy
