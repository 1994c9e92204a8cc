"""Report the analysis of attention heads."""

import numpy as np
import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.heads.infer import head_result, infer
from retroscope.analyses.heads.result import HeadResult
from retroscope.analyses.heads.tables import head_tables
from retroscope.analyses.heads.words import head_statements
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.files.documents import clean
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records
from retroscope.typesetting.frames import rows
from retroscope.typesetting.subject import MODEL


def report(result: HeadResult, reading: Reading) -> Section:
    """Return the report's section about attention heads: statements, tables and figures."""
    differences = {f"Heads, {side}": heads.exact for side, heads in result.sides.items()}
    frames = {"heads": _every(result), "heads_exact": _exact(result)}
    document = clean({**result.document(), "agreement": result.agreement})
    if result.change is not None:
        differences["Heads: change"] = result.change
        frames["head_change"] = rows(result.change)
        document["change"] = effect_records(result.change)
    if result.shift is not None:
        differences["Attention of heads"] = result.shift
        frames["head_attention"] = rows(result.shift)
        document["attention"] = effect_records(result.shift)
    return Section(
        statements=head_statements(result),
        draw=lambda: _figures(result),
        tables=head_tables(result),
        frames=frames,
        differences=differences,
        document=document,
        values={"sides": list(result.sides), "notes": result.notes},
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section about the attention heads of a single model."""
    return report(head_result(measurement, (MODEL,), reading), reading)


def _every(result: HeadResult) -> pd.DataFrame:
    """Return a row for each head of each model, with its estimated effect."""
    parts = []
    for side, one in result.sides.items():
        layers, heads = one.estimates.shape
        layer, head = np.repeat(np.arange(1, layers + 1), heads), np.tile(np.arange(heads), layers)
        parts.append(pd.DataFrame({"side": side, "layer": layer, "head": head, "estimate": one.estimates.ravel()}))
    return pd.concat(parts, ignore_index=True)


def _exact(result: HeadResult) -> pd.DataFrame:
    return pd.concat([model.table.assign(side=side) for side, model in result.sides.items()], ignore_index=True)


def _figures(result: HeadResult) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.heads.figures import head_figures

    return head_figures(result)


REPORTER = Reporter(infer, report, alone)
