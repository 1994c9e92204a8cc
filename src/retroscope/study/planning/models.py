"""Check the models of a study against each other, and give them distinct names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.pairing import check_pair, compared_like, distinct_names
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, with_side


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
