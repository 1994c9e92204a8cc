"""Show an overview in a notebook as a small table."""

from retroscope.notebook import html_table
from retroscope.number_format import interval, score, signed
from retroscope.study.overview.comparable import OWN
from retroscope.study.overview.overview import Overview
from retroscope.typesetting.subject import AFTER, BEFORE


def overview_html(overview: Overview) -> str:
    """Return the effects on the headline measure as an HTML table, with a row for each retriever and collection."""
    effects = [
        (group, row) for group in overview.comparables for _, row in group.against(OWN, group.headline).iterrows()
    ]
    rows = [
        (row["model"], group.collection, group.headline, score(row[BEFORE]), score(row[AFTER]),
         f"{signed(row['effect'])} {interval(row['ci_low'], row['ci_high'], effect=True)}", row["state"])
        for group, row in effects
    ]  # fmt: skip
    return html_table(
        " ".join(overview.sentences), rows, ("", "collection", "measure", BEFORE, AFTER, "change", "state")
    )
