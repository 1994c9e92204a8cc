"""Check the models and collections that a study is given, and give the models distinct names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError, excerpt
from retroscope.inputs.pairing import check_pair, compared_like, distinct_names
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, with_side


def refuse_unloaded(models: Iterable[object], collections: Iterable[object]) -> None:
    """Refuse a path or a name in the place of a loaded model or collection.

    Raises:
        SettingsError: with its name and the function that loads it.
    """
    for kind, given, wanted, loader in (
        ("model", models, Retriever, "load_retriever"),
        ("collection", collections, Collection, "load_collection"),
    ):
        for one in given:
            if not isinstance(one, wanted):
                raise SettingsError(
                    f"{excerpt(one)} is not a loaded {kind}", fix=f"load it first, with retroscope.{loader}(...)"
                )


def checked_models(models: Mapping[str, Retriever], trainings: Sequence[Retriever]) -> dict[str, Retriever]:
    """Check that the models' layers can be paired, and return the models under distinct names.

    Raises:
        SettingsError, EncoderError: if they cannot.
    """
    if list(models) == [MODEL]:
        if trainings:
            raise SettingsError(
                f"{len(trainings)} further trainings are given, but no backbone and retriever to compare them with",
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
    """Return the further trainings, renamed if the retriever or another one has the same name."""
    return tuple(distinct_names([list(models.values())[-1], *trainings])[1:])
