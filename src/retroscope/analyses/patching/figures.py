"""Figure of activation patching: the margin that a model's own, the other model's and random activations recover."""

import altair as alt
import pandas as pd

from retroscope.analyses.patching.result import PatchingResult
from retroscope.typesetting.charts.curves import Selector, choosing, curves, facets, layer_axis
from retroscope.typesetting.charts.figure import Figure

LINES = {
    "own": "own clean activation",
    "other": "the other model's clean activation, beyond its corrupted one",
    "random": "random change",
}
BY_LAYER = ("head", "ffn", "block")


def patching_figures(result: PatchingResult) -> tuple[Figure, ...]:
    """Draw by layer the margin that patched activations recover. Return no figure if nothing was patched."""
    frame = _recovered(result)
    if frame.empty:
        return ()
    choices = list(dict.fromkeys(frame["choice"]))
    panels = [f"{side}, {kind}" for side in result.sides for kind in BY_LAYER]
    panels = [panel for panel in panels if panel in set(frame["panel"])]
    y = alt.Y("value:Q", title="recovered margin (SD)")
    selectors = [Selector("panel", "patched model", panels[0]), Selector("choice", "corruption", choices[0])]
    first = frame[frame["choice"] == choices[0]]
    paper = facets(curves(layer_axis(), first, y), first, "panel", panels, 3)
    return (
        Figure(
            "patching",
            "What patched activations recover",
            "Margin recovered when a component's activation for the clean query replaces its activation in a run on "
            "the corrupted query, in standard deviations of the loss by the corruption. Beyond its corrupted one: "
            "minus the margin that the other model's activation for the corrupted query recovers. Of all heads of a "
            "layer, the figure shows only the head whose own clean activation recovers most.",
            f"Recovered margin by layer; corruption and tokens: {', '.join(choices)}.",
            choosing(curves(layer_axis(), frame, y), frame, selectors),
            paper.properties(title=f"What patched activations recover ({choices[0]})"),
        ),
    )


def _recovered(result: PatchingResult) -> pd.DataFrame:
    """Return a row for each point of the curves, with the columns panel, choice, layer, series, line, value, low, high.

    A panel is a model and a kind of component; a choice is a corruption and the tokens at which activations are
    patched.
    """
    parts = []
    for side, patches in result.sides.items():
        for column, line in LINES.items():
            measured = patches.table.dropna(subset=[column])
            best = measured.loc[measured.groupby(["corruption", "tokens", "kind", "layer"])["own"].idxmax()]
            panel, choice = side + ", " + best["kind"], best["corruption"] + ", " + best["tokens"]
            named = best[["layer"]].assign(panel=panel, choice=choice, series=line, line=line, value=best[column])
            parts.append(named.assign(low=float("nan"), high=float("nan")))
    return pd.concat(parts, ignore_index=True)
