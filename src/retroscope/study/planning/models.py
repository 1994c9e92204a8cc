"""Check the models and collections that a study is given, and give the models distinct names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError, excerpt
from retroscope.inputs.pairing import check_pair, compared_like, distinct_names
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, with_side


def refuse_unloaded(models: Iterable[object], collections: Iterable[object]) -> None:
    """Refuse a model or collection that is not loaded, such as a path or a name.

    Raises:
        SettingsError: for the first such value. The fix names the function that loads it.
    """
    for kind, values, wanted, loader in (
        ("model", models, Retriever, "load_retriever"),
        ("collection", collections, Collection, "load_collection"),
    ):
        for value in values:
            if not isinstance(value, wanted):
                raise SettingsError(
                    f"{excerpt(value)} is not a loaded {kind}", fix=f"load it first, with retroscope.{loader}(...)"
                )


def checked_models(models: Mapping[str, Retriever], trainings: Sequence[Retriever]) -> dict[str, Retriever]:
    """Check that the layers of the models can be paired, and return the models with distinct names.

    Raises:
        SettingsError: if the keys of `models` are not "model" alone, or "before" and "after".
        EncoderError: if the layers cannot be paired.
    """
    if list(models) == [MODEL]:
        if trainings:
            raise SettingsError(
                f"{len(trainings)} other training runs are given, but no backbone and retriever to compare them with",
                fix="give the backbone (BEFORE) and the retriever (AFTER), or leave out --training",
            )
        return dict(models)
    if list(models) != [BEFORE, AFTER]:
        raise SettingsError(
            f"a study cannot have models under the names {', '.join(models)}",
            fix=f"give two models as {BEFORE!r} and {AFTER!r}, or one model as {MODEL!r}",
        )
    check_pair(models[BEFORE], models[AFTER])
    for training in trainings:
        check_pair(models[AFTER], training)
    before, after = compared_like(models[BEFORE], models[AFTER]), models[AFTER]
    if before.name == after.name:
        before, after = (replace(m, name=with_side(m.name, side)) for side, m in ((BEFORE, before), (AFTER, after)))
    return {BEFORE: before, AFTER: after}


def other_names(models: Mapping[str, Retriever], trainings: Sequence[Retriever]) -> tuple[Retriever, ...]:
    """Return the other training runs, each renamed if the retriever or another run has the same name."""
    return tuple(distinct_names([list(models.values())[-1], *trainings])[1:])
