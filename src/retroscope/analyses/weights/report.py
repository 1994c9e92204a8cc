"""Report how the weights changed from backbone to retriever, from the tensors of both models."""

from collections.abc import Mapping, Sequence

import pandas as pd

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.weights.result import WeightResult
from retroscope.analyses.weights.tables import weight_tables
from retroscope.analyses.weights.words import tower_statements
from retroscope.drift.result import WeightDrift
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.tables import merge_named

NAMES = ["tower", "before_name", "after_name"]


def infer(measurements: Sequence[Measurement], reading: Reading) -> WeightResult | None:
    """Return the changes of all weight tensors, for the query encoder and the passage encoder.

    They are not tested, because weights are no sample of a population.
    """
    if not measurements:
        return None
    (measurement,) = measurements
    towers = measurement.facts["towers"]
    return WeightResult(
        {
            str(tower): WeightDrift(
                tensors.drop(columns=NAMES).reset_index(drop=True),
                tuple(towers[tower]["notes"]),
                str(tensors["before_name"].iloc[0]),
                str(tensors["after_name"].iloc[0]),
                towers[tower]["n_blocks"],
            )
            for tower, tensors in measurement.frames["tensors"].groupby("tower", sort=False)
        }
    )


def report(result: WeightResult, reading: Reading) -> Section:
    """Return the report section about the weights: which changed, in which layers, and in how many directions."""
    return weight_section(result)


def weight_section(result: WeightResult) -> Section:
    """Return the report section about the weight changes between two models, for studies and for `retroscope diff`."""
    towers = [(tower if len(result.by_tower) > 1 else "", drift) for tower, drift in result.by_tower.items()]
    return Section(
        statements=tower_statements(result),
        draw=lambda: _figures(towers),
        tables=merge_named([weight_tables(drift, tower) for tower, drift in towers]),
        frames=_frames(result.by_tower),
        document={tower: drift.groups.to_dict(orient="records") for tower, drift in result.by_tower.items()},
    )


def _frames(by_tower: Mapping[str, WeightDrift]) -> dict[str, pd.DataFrame]:
    return {
        "weights": pd.concat([drift.tensors.assign(tower=tower) for tower, drift in by_tower.items()]),
        "weights_by_layer": pd.concat([drift.groups.assign(tower=tower) for tower, drift in by_tower.items()]),
    }


def _figures(towers: Sequence[tuple[str, WeightDrift]]) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.weights.figures import weight_figures

    return tuple(figure for tower, drift in towers for figure in weight_figures(drift, tower))


REPORTER = Reporter(infer, report)
