"""Write tables for a paper in LaTeX (booktabs), with every cell escaped."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


@dataclass(frozen=True)
class PaperTable:
    """A table as printed: cells of text, caption, note, and the columns to align right."""

    frame: pd.DataFrame
    caption: str
    note: str = ""
    numeric: Sequence[str] = ()


def escape(text: object) -> str:
    """Escape the characters of a text that LaTeX would interpret."""
    flat = "".join(c if c.isprintable() else " " for c in str(text))
    return "".join(SPECIAL.get(c, c) for c in flat)


def booktabs(table: PaperTable, label: str) -> str:
    """Return a table as LaTeX source. It needs the packages booktabs and, with old compilers, textcomp."""
    columns = [str(c) for c in table.frame.columns]
    align = "".join("r" if c in table.numeric else "l" for c in columns)
    body = [_row(cells) for cells in table.frame.itertuples(index=False)]
    note = [rf"\par\smallskip\footnotesize {escape(table.note)}"] if table.note else []
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        _row(columns),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *note,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[object]) -> str:
    text = " & ".join(escape(cell) for cell in cells)
    # a star or bracket after the \\ of the row above would be read as its argument
    shield = "{}" if text.lstrip().startswith(("*", "[")) else ""
    return shield + text + r" \\"
