"""`retroscope doctor MODEL [AFTER]`: check that a model or a pair can be measured."""

from dataclasses import dataclass
from typing import Annotated

import typer

from retroscope.cli.defaults import option
from retroscope.cli.exit_codes import UNSOUND
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import given, model_values
from retroscope.errors import SettingsError

EXAMPLE = "retroscope doctor bert-base-uncased facebook/contriever --pooling mean"


@dataclass(frozen=True, kw_only=True)
class TrialOptions:
    """Options that name a collection on which plausible recipes (pooling, prompt ...) are tried."""

    data: Annotated[
        str | None,
        option(
            "--data",
            help="Collection on which other plausible recipes are tried: a path or FORMAT:PATH",
            metavar="SPEC",
            default="none",
        ),
    ] = None
    split: Annotated[
        str | None,
        option("--split", help="Qrels split of --data to use", metavar="NAME", default="test, else the only one"),
    ] = None


@flat()
def run(
    model: Annotated[
        str, typer.Argument(help="Model to check: a retriever, or the backbone of AFTER", metavar="MODEL")
    ],
    models: o.ModelOptions,
    trial: TrialOptions,
    after: Annotated[
        str | None,
        typer.Argument(help="Retriever fine-tuned from MODEL; both are then also checked as a pair", metavar="AFTER"),
    ] = None,
    settings: o.SettingsFile = None,
    assignments: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Check that a model, or a pair of models, can be measured.

    The checks take seconds and need no data. With --data, the command also tries other plausible recipes (pooling,
    prompt, similarity ...) on up to 200 queries, and reports repeated queries and queries that occur in several
    splits. The exit status is 1 if a check finds an error.
    """
    data, split = trial.data, trial.split
    load = models.values()
    first = model_values(model, load)
    values: o.SettingValues = (
        {"after": first} if after is None else {"before": first, "after": model_values(after, load)}
    )

    if data is None and split is not None:
        raise SettingsError(f"--split {split} needs --data", fix="give --data, or leave out --split")
    if data is not None:
        values["data"] = given(source=data, split=split)

    from retroscope.cli.resolve import resolve
    from retroscope.cli.terminal import emit, say
    from retroscope.inputs.sources import check_sources

    sides = check_sources(resolve(values, settings, assignments))
    load_libraries()
    from retroscope.study.doctor.diagnosis import diagnose, doctor_document, doctor_words

    named = {"model": sides.after} if after is None else {"before": sides.before, "after": sides.after}
    diagnosis = diagnose({role: wanted for role, wanted in named.items() if wanted is not None}, sides.data)
    emit(doctor_document(diagnosis)) if as_json else say(doctor_words(diagnosis))
    if not diagnosis.sound:
        raise typer.Exit(UNSOUND)
