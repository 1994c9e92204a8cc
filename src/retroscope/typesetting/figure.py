"""Figure: a chart with what it must never be shown without."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from retroscope.typesetting.palette import style


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

    @cached_property
    def specification(self) -> dict[str, Any]:
        """In Vega-Lite, styled: all data inside, no address to fetch from. Made once: page and files show the same."""
        spec: dict[str, Any] = style(self.chart.properties(description=self.alt)).to_dict()
        return spec
