"""Short HTML for notebooks: a caption and a table. Every text is escaped and cut."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

ROWS, LETTERS = 12, 300  # of a table, and of a cell
STYLE = "text-align:left;padding:.15em .8em .15em 0;vertical-align:top"


def html_table(caption: str, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> str:
    """Return a table of at most `ROWS` rows below a caption.

    Args:
        caption: printed in bold.
        rows: cells of each row. The first cell is the heading of the row.
        columns: headings of the columns. If empty, the table has no heading row.
    """
    first_rows = list(islice(rows, ROWS + 1))
    more = "<p>...</p>" if len(first_rows) > ROWS else ""
    head = f"<tr>{''.join(_cell('th', name) for name in columns)}</tr>" if columns else ""
    body = "".join(_row(row) for row in first_rows[:ROWS])
    return f"<div><strong>{_text(caption)}</strong><table>{head}{body}</table>{more}</div>"


def _row(cells: Sequence[object]) -> str:
    return f"<tr>{_cell('th', cells[0])}{''.join(_cell('td', cell) for cell in cells[1:])}</tr>"


def _cell(tag: str, value: object) -> str:
    return f'<{tag} style="{STYLE}">{_text(value)}</{tag}>'


def _text(value: object) -> str:
    text = " ".join(str(value)[: LETTERS + 1].split())
    return escape(text if len(text) <= LETTERS else f"{text[:LETTERS]}...")
