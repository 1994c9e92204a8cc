"""Render figures from one specification, for the page and for a paper (PDF, SVG)."""

import io
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import pikepdf
import vl_convert

from retroscope.files.whole import whole_folder, write_whole
from retroscope.typesetting.charts.figure import Figure

GRADIENT = re.compile(r'(?<=id=")gradient_\d+(?=")|(?<=url\(#)gradient_\d+(?=\))')
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def svg(spec: dict[str, Any]) -> str:
    """Render a specification as SVG, always with the same bytes."""
    drawn = str(vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VEGA_LITE, allowed_base_urls=[]))
    gradients = dict.fromkeys(GRADIENT.findall(drawn))  # numbered on from the figure drawn before
    numbers = {name: f"gradient_{i}" for i, name in enumerate(gradients)}
    drawn = GRADIENT.sub(lambda found: numbers[found[0]], drawn)
    return drawn.replace('<g class="mark-rect ', '<g shape-rendering="crispEdges" class="mark-rect ')


def pdf(drawn: str) -> bytes:
    """Convert an SVG to PDF, always with the same bytes."""
    ordered = io.BytesIO()
    with pikepdf.open(io.BytesIO(vl_convert.svg_to_pdf(drawn))) as document:
        document.save(ordered, deterministic_id=True)
    return ordered.getvalue()


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write every figure that has files as SVG, PDF and Vega-Lite JSON. The folder is replaced completely."""
    names: list[str] = []
    with whole_folder(folder) as new:
        for figure in (one for one in figures if one.in_files):
            spec = figure.paper_specification
            drawn = svg(spec | {"background": "white"})
            contents = {
                ".svg": drawn.encode(),
                ".pdf": pdf(drawn),
                ".vl.json": json.dumps(spec, indent=1).encode(),
            }
            names += [write_whole(new / f"{figure.name}{end}", content).name for end, content in contents.items()]
    return [folder / name for name in names]


@cache  # a second of work, the same for every page
def script_bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, so that the page works offline."""
    exposed = "window.vegaEmbed=vegaEmbed;"
    return str(vl_convert.javascript_bundle(exposed, VEGA_LITE))
