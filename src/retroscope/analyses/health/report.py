"""Report the self-tests of the query encoder and the passage encoder (towers) of every model."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.number_format import count
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import MODEL, Model, Subject

COLUMNS = ("side", "model", "tower", "test", "passed", "value", "tolerance", "detail")


@dataclass(frozen=True, eq=False)
class Health:
    """The outcomes of the self-tests of all query and passage encoders: a row for each test, with columns `COLUMNS`."""

    self_tests: pd.DataFrame


def infer(measurements: Sequence[Measurement], reading: Reading) -> Health:
    """Return the outcomes of the self-tests of all query and passage encoders, which run before any measurement."""
    rows = [
        (side, model.name, tower.role, test.name, test.passed, test.value, test.tolerance, test.detail)
        for side, model in reading.subject.models.items()
        for tower in model.towers
        for test in tower.self_tests
    ]
    return Health(pd.DataFrame(rows, columns=list(COLUMNS)))


def report(result: Health, reading: Reading) -> Section:
    """Return the report's section about the models: the outcomes of their self-tests, and how they encode texts."""
    subject = reading.subject
    records = result.self_tests.to_dict(orient="records")
    return Section(
        statements=tuple(_outcomes(subject)),
        frames={"self_tests": result.self_tests},
        document={"models": {side: _facts(subject, side) for side in subject.models}, "self_tests": records},
    )


def _outcomes(subject: Subject) -> list[Statement]:
    return [
        _outcome(side, model)
        for side, model in subject.models.items()
        if model.failed_tests or any(tower.self_tests for tower in model.towers)
    ]


def _outcome(side: str, model: Model) -> Statement:
    """State whether a model passed its self-tests."""
    control = "self-tests" if side == MODEL else f"self-tests ({side})"
    if model.failed_tests:
        return Statement("self-tests", State.FAILED, _failure(side, model), (), code=side, control=control)
    number = sum(len(tower.self_tests) for tower in model.towers)
    text = f"Self-tests of {model.name}: {number} of {number} passed, over {count(len(model.towers), 'tower')}."
    return Statement("self-tests", State.MEASURED, text, (), code=side, control=control)


def _failure(side: str, model: Model) -> str:
    """Describe a model's failed self-tests, and the results that depend on them."""
    failed = "; ".join(model.failed_tests)
    if side == MODEL:
        return f"SELF-TEST FAILED ({model.name}): {failed}. No conclusion is safe."
    return (
        f"SELF-TEST FAILED for the model {side} fine-tuning ({model.name}): {failed}. Every conclusion that depends "
        "on this model is marked as doubtful."
    )


def _facts(subject: Subject, side: str) -> dict[str, object]:
    """Return the name, similarity and encoders (towers) of one model, as JSON-like values."""
    model = subject.side(side)
    towers = [
        {"role": tower.role, "recipe": tower.recipe, "proof": tower.proof, "layer_names": list(tower.layer_names),
         "fingerprint": tower.fingerprint}
        for tower in model.towers
    ]  # fmt: skip
    return {"name": model.name, "similarity": model.similarity, "towers": towers}


REPORTER = Reporter(infer, report)
