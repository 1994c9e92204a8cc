"""From the counts of both models to what the report says of them."""

from collections.abc import Sequence

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.number_format import interval, tied_p
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.documents import effect_records, mean_records
from retroscope.typesetting.effect_tables import effects_by, pair
from retroscope.typesetting.effect_words import estimate_of
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.statements import State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL


def infer(measurements: Sequence[Measurement], reading: Reading) -> Difference | None:
    """Return the paired difference, after minus before; None where one model was measured."""
    scores = measurements[0].scores if measurements else {}
    if BEFORE not in scores or AFTER not in scores:
        return None
    return compare_scores(scores[BEFORE], scores[AFTER], reading.subject.paired_statistics)


def report(result: Difference, reading: Reading) -> Section:
    """Return a statement, a table and the same numbers as JSON."""
    table = rows(result)
    row = table.iloc[0]
    limits = interval(row["ci_low"], row["ci_high"], effect=True)
    text = (
        f"A query has {row[BEFORE]:.1f} tokens before and {row[AFTER]:.1f} after: "
        f"{row['effect']:+.1f} {limits}, {tied_p(row['p_corrected'])}."
    )
    state = State.SIGNIFICANT if row["p_corrected"] < alpha(result) else State.NOT_SIGNIFICANT
    return Section(
        statements=(Statement("tokens", state, text, code="count", estimate=estimate_of(row, "tokens")),),
        tables={"tokens": effects_by("count", result, table, f"Tokens of a query: {pair(reading.subject)}.")},
        frames={"tokens": table},
        differences={"Tokens": result},
        document=effect_records(result),
        values={"n_queries": int(row["n"])},
        printed=("tokens",),
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the mean count of one model."""
    return Section(document=mean_records(measurement.scores[MODEL], reading.subject.statistics))


REPORTER = Reporter(infer, report, alone)
