"""Test and report the results of the probes from their accuracy on every query."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.probes.card import cards, probe_curves_by_layer
from retroscope.analyses.probes.control_rules import control_statements
from retroscope.analyses.probes.result import SEED_COLUMNS, ProbesResult
from retroscope.analyses.probes.selectivity import selectivity
from retroscope.analyses.probes.tables import accuracy_tables, probe_tables
from retroscope.analyses.probes.words import below_chance_alone, negatives, passage_only_statements, similarity_probe
from retroscope.analyses.section import Reading, Section
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.probing.records import ProbeRecord
from retroscope.statistics import ComparisonSettings, Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records, mean_records
from retroscope.typesetting.effect_tables import labelled
from retroscope.typesetting.statements import Statement, seen_above
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL, Subject


def infer(measurements: Sequence[Measurement], reading: Reading) -> ProbesResult | None:
    """Compare the probes' accuracies before and after fine-tuning, paired by query; None if nothing was measured.

    The protocol says which tests are corrected together.
    """
    if not measurements:
        return None
    measurement, subject = measurements[0], reading.subject

    def paired(suffix: str, settings: ComparisonSettings, *family_per: str) -> Difference | None:
        before, after = (measurement.scores.get(f"{side}{suffix}") for side in (BEFORE, AFTER))
        if before is None or after is None:
            return None
        return compare_scores(before, after, replace(settings, family_per=family_per))

    published = ("passages",) if subject.protocol == PUBLISHED_PROTOCOL else ()
    return ProbesResult(
        similarity=subject.after.similarity,
        effect=paired("", subject.statistics, "probe", "control", *published),
        bare=paired("/bare", subject.statistics, "probe", "control"),
        mdl=paired("/mdl", subject.paired_statistics, "control"),  # a family a control: no claim is made of a control
        seed_spread=seed_spread(measurement.frames.get("seeds")),
        records=measurement.facts["records"],
        split_sizes=measurement.facts["split_sizes"],
        independent_examples={
            int(n): labels for n, labels in measurement.facts.get("independent_examples", {}).items()
        },
    )


def seed_spread(seeds: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the standard deviation of accuracy over seeds, and the mean accuracy on the training examples.

    There is a row for each model, probe, control, N (number of candidates) and layer.
    """
    if seeds is None:
        return None
    groups = seeds.groupby(["side", "probe", "control", "n_passages", "layer"], sort=False)
    return groups.agg(sd=("accuracy", "std"), train_accuracy=("train_accuracy", "mean")).reset_index()


def report(result: ProbesResult, reading: Reading) -> Section:
    """Return the report's section on the probes of two compared models: conclusions, figures and tables.

    If a control failed, the conclusions from accuracies are marked as doubtful.
    """
    subject, beyond_shuffled = reading.subject, selectivity(result.effect)
    conclusions = statements(result, subject)
    frames = {"selectivity": beyond_shuffled}
    if result.effect is not None:
        frames["probing"] = labelled(subject, result.rows())
    if result.seed_spread is not None:
        frames["seed_spread"] = result.seed_spread[list(SEED_COLUMNS)]
    return Section(
        statements=conclusions,
        cards=cards(result, conclusions),
        curves=probe_curves_by_layer(result),
        draw=lambda: _figures(result, subject, beyond_shuffled),
        tables=probe_tables(result, subject),
        frames=frames,
        differences={
            label: difference
            for label, difference in (("Probes", result.effect), ("Online code length", result.mdl))
            if difference is not None
        },
        document={
            "records": list(result.records),
            "effects": effect_records(result.effect),
            "without_final_norm": effect_records(result.bare),
            "mdl": effect_records(result.mdl),
            "split_sizes": list(result.split_sizes),
        },
        values={"negatives": negatives(subject), "accuracies": ()},
    )


def statements(result: ProbesResult, subject: Subject) -> tuple[Statement, ...]:
    """Return the conclusions about the probes: failed controls, then accuracies, then all other controls.

    If a control failed, the conclusions from accuracies are marked as doubtful.
    """
    controls = control_statements(result, subject)
    alarms = [s for s in controls if s.failed]
    readings = (*similarity_probe(result, subject), *passage_only_statements(result, subject))
    return (*alarms, *(s.doubted(*seen_above(alarms)) for s in readings), *(s for s in controls if not s.failed))


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section on a single model's probes: tables of accuracy, and a caution if below chance."""
    facts, subject = measurement.facts, reading.subject
    stored: list[ProbeRecord] = facts["records"]
    records = [row.copy() for row in stored]
    for row in records:
        del row["side"]
    document = {
        "records": records,
        "without_final_norm": list(facts["bare_records"]),
        "mdl": [_code_length(row) for row in mean_records(measurement.scores.get(f"{MODEL}/mdl"), subject.statistics)],
        "split_sizes": facts["split_sizes"],
    }
    tables = accuracy_tables(records, subject)
    return Section(
        statements=tuple(below_chance_alone(records, subject.after.similarity)),
        tables=tables,
        frames={"probing": pd.DataFrame(records)},
        document=document,
        values={"negatives": negatives(subject), "accuracies": tuple(tables)},
        printed=tuple(tables),
    )


def _code_length(row: dict[str, Any]) -> dict[str, Any]:
    """Rename the fields of a mean online code length (bits per query) to the names that records use."""
    names = {"passages": "n_passages", "mean": "bits"}
    return {names.get(name, name): value for name, value in row.items()}


def _figures(result: ProbesResult, subject: Subject, beyond_shuffled: pd.DataFrame) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.probes.figures import probe_figures

    return probe_figures(result, subject, beyond_shuffled)


REPORTER = Reporter(infer, report, alone)
