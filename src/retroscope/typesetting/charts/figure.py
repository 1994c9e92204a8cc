"""The type `Figure`: a chart with title, caption and alternative text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One chart with its title, caption and alternative text.

    Attributes:
        name: name of its files, without the extension.
        title: heading.
        caption: how to read it.
        alt: description for readers who cannot see it.
        chart: the altair chart of the page, not yet styled. It may let the reader choose what it shows.
        paper: the chart for files and for readers without JavaScript. If the reader can choose what `chart` shows, this
            chart shows all choices side by side. None if both charts are the same.
        on_page: whether the page shows it.
        in_files: whether it is written as a file.
    """

    name: str
    title: str
    caption: str
    alt: str
    chart: Any
    paper: Any = None
    on_page: bool = True
    in_files: bool = True

    @cached_property
    def specification(self) -> dict[str, Any]:
        """Return the Vega-Lite specification of the page's figure, with style and all data. It is computed once."""
        return self._styled(self.chart)

    @cached_property
    def paper_specification(self) -> dict[str, Any]:
        """Return the Vega-Lite specification of the PDF and SVG files, with style and all data. It is computed once."""
        return self.specification if self.paper is None else self._styled(self.paper)

    def _styled(self, chart: Any) -> dict[str, Any]:
        from retroscope.typesetting.charts.palette import STYLE  # altair is slow to import

        spec = with_rows(chart.to_dict(validate=False))
        return {**spec, "description": self.alt, "config": STYLE}


def with_rows(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Vega-Lite specification with its embedded data parsed from JSON text to rows."""
    data = {
        name: json.loads(rows) if isinstance(rows, str) else rows for name, rows in spec.get("datasets", {}).items()
    }
    return {**spec, "datasets": data} if data else {**spec}


WITHOUT_NORM = "without the final norm"


def without_final_norm(figure: Figure) -> Figure:
    """Return the figure under a new name, with a title and caption that say that layers are without the final norm."""
    caption = f"Every layer except the last is shown as the model computes it, {WITHOUT_NORM}. {figure.caption}"
    return replace(figure, name=f"{figure.name}_bare", title=f"{figure.title}, {WITHOUT_NORM}", caption=caption)
