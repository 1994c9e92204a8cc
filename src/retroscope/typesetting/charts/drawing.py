"""Render figures as SVG and PDF, and write these files together with the Vega-Lite specification."""

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
    """Render a Vega-Lite specification as SVG. The same specification always gives the same bytes."""
    drawn = str(vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VEGA_LITE, allowed_base_urls=[]))
    gradients = dict.fromkeys(GRADIENT.findall(drawn))  # numbered on from the figure drawn before
    numbers = {name: f"gradient_{i}" for i, name in enumerate(gradients)}
    drawn = GRADIENT.sub(lambda match: numbers[match[0]], drawn)
    return drawn.replace('<g class="mark-rect ', '<g shape-rendering="crispEdges" class="mark-rect ')


def pdf(drawn: str) -> bytes:
    """Convert an SVG to PDF. The same SVG always gives the same bytes."""
    ordered = io.BytesIO()
    with pikepdf.open(io.BytesIO(vl_convert.svg_to_pdf(drawn))) as document:
        document.save(ordered, deterministic_id=True)
    return ordered.getvalue()


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write every figure with `in_files` as SVG, PDF and Vega-Lite JSON. The folder is replaced as a whole."""
    names: list[str] = []
    with whole_folder(folder) as new:
        for figure in (each for each in figures if each.in_files):
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
