"""Test and report the effect of fine-tuning on each group of queries, from the retrieval scores of every query."""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.card import Card
from retroscope.analyses.groups.question import WHICH
from retroscope.analyses.groups.result import GROUPS, GroupsResult
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.number_format import count, signed
from retroscope.scores import QUERY, Scores
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records
from retroscope.typesetting.effect_tables import effects_by, pair
from retroscope.typesetting.effect_words import effect_words, estimate_of
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Statement

MOST_SHOWN = 2  # groups on the card
LONGEST = 24  # characters of a name there


def infer(measurements: Sequence[Measurement], reading: Reading) -> GroupsResult | None:
    """Compare retrieval before and after fine-tuning within each group of queries.

    Return None if the groups or the effect on retrieval were not measured.
    """
    retrieval = reading.result("retrieval", RetrievalResult)
    if retrieval is None or not measurements:
        return None
    groups = measurements[0].frames[GROUPS].set_index("query_id")["group"]
    effect = retrieval.effect
    before, after = (by_group(one.select(measure=retrieval.headline), groups) for one in (effect.before, effect.after))
    return GroupsResult(retrieval.headline, compare_scores(before, after, reading.subject.paired_statistics))


def by_group(scores: Scores, groups: "pd.Series[str]") -> Scores:
    """Return the scores by (query, group), which are NaN in every group that the query is not in."""
    names = list(dict.fromkeys(groups))
    of_query = groups.reindex(scores.query_ids).to_numpy(dtype=object)
    member = xr.DataArray(np.equal.outer(of_query, np.array(names, dtype=object)), dims=(QUERY, "group"))
    values = scores.values.drop_vars("measure", errors="ignore")
    spread = values.expand_dims(group=names, axis=1).where(member.values)
    return replace(scores, values=spread)


def report(result: GroupsResult, reading: Reading) -> Section:
    """Return the report's section with a statement and a table row for each group, the largest gain first."""
    table = rows(result.effect).sort_values("effect", ascending=False, kind="stable", ignore_index=True)
    statements = tuple(_statement(result, number, row) for number, (_, row) in enumerate(table.iterrows(), start=1))
    return Section(
        statements=statements,
        cards=(_card(table, statements),),
        draw=lambda: _figures(result),
        tables={GROUPS: effects_by("group", result.effect, table, f"{result.measure}: {pair(reading.subject)}.")},
        frames={GROUPS: table},
        differences={"Groups of queries": result.effect},
        document=effect_records(result.effect),
        printed=(GROUPS,),
    )


def _statement(result: GroupsResult, number: int, row: "pd.Series[Any]") -> Statement:
    text, state = effect_words(result.effect, row, result.measure)
    return Statement(
        GROUPS,
        state,
        f"{row['group']} ({count(int(row['n']), 'query')}): {text}",
        code=f"group_{number}",
        estimate=estimate_of(row, f"{result.measure} of {row['group']}"),
        figure=GROUPS,
    )


def _card(table: pd.DataFrame, statements: Sequence[Statement]) -> Card:
    """Return the card that names the groups with the largest and the smallest effect."""
    ends = table if len(table) <= MOST_SHOWN else table.iloc[[0, -1]]
    words = [f"{textwrap.shorten(str(row['group']), LONGEST)} {signed(row['effect'])}" for _, row in ends.iterrows()]
    return Card(WHICH, "; ".join(words), statements[0])


def _figures(result: GroupsResult) -> tuple[Figure, ...]:
    """Draw the figure of the effects by group.

    The plotting code is imported here because it is slow and the terminal shows no figures.
    """
    from retroscope.analyses.groups.figure import group_figure

    return (group_figure(result),)


REPORTER = Reporter(infer, report)
