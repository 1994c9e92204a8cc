"""Store the group of every query. The retrieval scores of queries come from the analysis of retrieval."""

import pandas as pd

from retroscope.analyses.analysis import Instrument, NoSettings, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.groups.result import GROUPS
from retroscope.analyses.measurement import Measurement


def refusal(context: Context, settings: NoSettings) -> str:
    """Return the reason why groups cannot be compared (fewer than two groups), or "" if there is none."""
    return "" if len(set(_groups(context).values())) > 1 else "the queries of this collection have no groups"


def plan(context: Context, settings: NoSettings) -> Planned:
    """List the number of queries in each group. The analysis itself takes no time."""
    sizes = pd.Series(_groups(context)).value_counts(sort=False)
    return Planned(lines=(f"groups of queries: {', '.join(f'{name} {n:,}' for name, n in sizes.items())}",))


def measure(context: Context, settings: NoSettings, planned: Planned) -> Measurement:
    """Return the group of every judged query that has a group."""
    groups = _groups(context)
    return Measurement(frames={GROUPS: pd.DataFrame({"query_id": list(groups), "group": list(groups.values())})})


def _groups(context: Context) -> dict[str, str]:
    queries = (context.collection.queries[name] for name in context.collection.judged_queries)
    return {query.id: query.group for query in queries if query.group}


INSTRUMENT = Instrument(refusal, plan, measure)
