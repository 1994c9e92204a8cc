"""An overview as plain text for the terminal."""

from retroscope.study.overview.overview import Overview
from retroscope.study.overview.tables import own_table
from retroscope.typesetting.console import bullet_list, page, paragraph, table
from retroscope.typesetting.latex import PaperTable


def overview_text(overview: Overview) -> str:
    """Return the overview as text: its answer, warnings, and the effects on the headline measure."""
    headlines = [table(_by(own_table(group), group.headline)) for group in overview.comparables]
    return page([
        overview.title,
        paragraph(" ".join(overview.sentences)),
        bullet_list("Read this first", overview.cautions),
        *headlines,
    ])  # fmt: skip


def _by(printed: PaperTable, measure: str) -> PaperTable:
    """Return the rows of a table for one measure, which is then named in the caption instead of a column."""
    frame = printed.frame[printed.frame["measure"] == measure].drop(columns="measure")
    return PaperTable(frame, f"{measure}: {printed.caption}", printed.note, printed.numeric)
