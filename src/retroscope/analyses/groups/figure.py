"""Figure of the effect of fine-tuning on retrieval in each group of queries."""

import altair as alt

from retroscope.analyses.groups.result import GROUPS, GroupsResult
from retroscope.typesetting.charts.curves import SIZE, embedded
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.charts.outcomes import effect_panel, outcome_of
from retroscope.typesetting.frames import alpha, rows


def group_figure(result: GroupsResult) -> Figure:
    """Draw the effect of fine-tuning on retrieval in each group of queries, with its interval."""
    table = rows(result.effect)
    level = alpha(result.effect)
    frame = table.assign(
        value=table["effect"], low=table["ci_low"], high=table["ci_high"], layer=table["group"],
        outcome=[outcome_of(row, level) for _, row in table.iterrows()],
    )[["group", "layer", "value", "low", "high", "outcome"]]  # fmt: skip
    panel = effect_panel(
        alt.X("group:N", title="group of queries", sort=list(frame["group"]), axis=alt.Axis(labelAngle=0))
    )
    chart = panel.properties(data=embedded(frame), **SIZE)
    ends = f"from {frame['value'].min():+.3f} to {frame['value'].max():+.3f}"
    return Figure(
        GROUPS,
        f"{result.measure} by group of queries",
        "The change is after minus before; lines are confidence intervals over the queries of a group.",
        f"The change of {result.measure} in {len(frame)} groups of queries, {ends}",
        chart,
    )
