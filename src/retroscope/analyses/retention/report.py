"""Report which facts can be read before and after fine-tuning."""

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retention.infer import infer
from retroscope.analyses.retention.result import RetentionResult
from retroscope.analyses.retention.tables import fact_tables
from retroscope.analyses.retention.words import statements
from retroscope.analyses.section import Reading, Section
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records, mean_records
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import MODEL


def report(result: RetentionResult, reading: Reading) -> Section:
    """Return the report section on which facts can still be read: statements, a figure by layer, tables, numbers."""
    retained = [
        {"readout": readout, "stratum": stratum, "read_before": before, "read_after": part.value,
         "ci_low": part.low, "ci_high": part.high, "n": part.n}
        for (readout, stratum), facts in result.retained.items()
        for before, part in ((True, facts.kept), (False, facts.gained))
    ]  # fmt: skip
    frames = {
        "facts": rows(result.effect),
        "facts_retained": pd.DataFrame(retained),
        "facts_controls": pd.DataFrame([vars(control) for control in result.controls]),
        "facts_consistency": result.consistency,
        "facts_losses": result.losses,
    }
    if not result.strata.empty:
        frames["facts_strata"] = result.strata
    tables = fact_tables(result)
    vocabulary = {} if result.vocabulary is None else {"Facts in the vocabulary": result.vocabulary}
    return Section(
        statements=statements(result),
        draw=lambda: _figures(result, reading),
        tables=tables,
        frames=frames,
        differences={"Facts": result.effect, **vocabulary},
        document={
            "effects": effect_records(result.effect),
            "vocabulary": effect_records(result.vocabulary),
            "retained": retained,
            "controls": [vars(control) | {"failed": control.failed} for control in result.controls],
            "found": [_association(association) for association in result.associations],
            "consistency": result.consistency.to_dict(orient="records"),
            "about": dict(result.about),
        },
        values={"about": dict(result.about), "folded": [name for name in tables if name != "facts"]},
        printed=("facts",),
    )


def _association(one: object) -> dict[str, object]:
    values = dict(vars(one))
    return values | {name: vars(values[name]) for name in ("crude", "within")}


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report section of a single model: its mean recall of facts, by layer and read-out."""
    records = mean_records(measurement.scores[MODEL], reading.subject.statistics)
    return Section(
        frames={"facts": pd.DataFrame(records)}, document=records, values={"about": measurement.facts, "folded": []}
    )


def _figures(result: RetentionResult, reading: Reading) -> tuple[Figure, ...]:
    """Draw the figure of recalled facts by layer.

    The plotting code is imported here because it is slow and the terminal shows no figures.
    """
    from retroscope.analyses.retention.figures import fact_figures

    return fact_figures(result, reading.subject)


REPORTER = Reporter(infer, report, alone)
