"""Figure: a chart with what it must never be shown without."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One chart.

    Attributes:
        name: of its files.
        title: heading.
        caption: how to read it.
        alt: what it shows, for those who cannot see it.
        chart: the altair chart, not yet styled.
    """

    name: str
    title: str
    caption: str
    alt: str
    chart: Any
