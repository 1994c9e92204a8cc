"""Figure of the embedding space: a two-dimensional map of sampled texts, and how queries and passages move."""

from typing import Any

import altair as alt
import pandas as pd

from retroscope.analyses.representations.result import TextMap
from retroscope.number_format import MISSING, count, percent
from retroscope.typesetting.charts.curves import SIZE, embedded
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.subject import AFTER, BEFORE

LOOKS = {"query": ("#CC79A7", "diamond"), "relevant": ("#009E73", "square"), "other": ("#8a8a8a", "circle")}
NOBODY = "none"
LABEL = 50  # characters of a query in the list of choices
HEIGHT = 420
PANEL = 330  # pixels of one side of the file's two panels
MOVED = "#7a7a7a"


def text_map_figure(text_map: TextMap) -> Figure:
    """Draw a two-dimensional map of sampled queries and passages, for one model at a time.

    Lines connect a chosen query with its relevant passages, and show how these texts moved.
    """
    points, moves = _points(text_map.places), _moves(text_map)
    queries = list(dict.fromkeys(moves["query"]))
    loss = {name: MISSING if value is None or value != value else value for name, value in text_map.loss.items()}
    variances, correlations = (
        [loss[f"{name}_{side}"] for side in (BEFORE, AFTER)] for name in ("variance", "distances")
    )
    shares = [percent(share) if isinstance(share, float) else share for share in variances]
    close = [f"{value:.2f}" if isinstance(value, float) else value for value in correlations]
    caption = (
        f"Vectors of the last layer of {count(int(loss['queries']), 'query')} and of "
        f"{count(int(loss['passages']), 'passage')} (of {loss['of']:,}), drawn with seed 0, in the plane of the first "
        "two principal components of both models together. Each model is centred on its own mean. The plane keeps "
        f"{shares[0]} of the variance before fine-tuning and {shares[1]} after. The correlation of distances in the "
        f"plane with distances in the embedding space is {close[0]} before fine-tuning and {close[1]} after. Lines go "
        "from a query to its relevant passages. Dashed lines go from the position of a text before fine-tuning to its "
        "position after."
    )
    words = (
        f"Map of {len(text_map.places)} texts before fine-tuning ({shares[0]} of the variance are kept) and after "
        f"({shares[1]})."
    )
    chart = _chart(points, moves, queries).properties(**{**SIZE, "height": HEIGHT})
    return Figure("text_map", "A map of the embedding space", caption, words, chart, _paper(points, moves))


def _points(places: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each text and model: side, x, y, kind, text."""
    return pd.concat(
        [places[["kind", "text"]].assign(side=side, x=places[f"{side}_x"], y=places[f"{side}_y"])
         for side in (BEFORE, AFTER)], ignore_index=True,
    )  # fmt: skip


def _moves(text_map: TextMap) -> pd.DataFrame:
    """Return a row for each mapped query and each of its relevant passages, with positions before and after."""
    place = text_map.places.set_index("text_id")
    texts = {
        query: f"{n}. {place['text'][query][:LABEL]}"
        for n, query in enumerate(dict.fromkeys(text_map.links["query_id"]), 1)
    }
    pairs = [(query, query) for query in texts]
    pairs += list(zip(text_map.links["query_id"], text_map.links["passage_id"], strict=True))
    rows = []
    for query, text in pairs:
        own, its = _of(place, text, passage=query != text), _of(place, query, passage=False)
        ends = {f"{side}_{axis}": own[f"{side}_{axis}"] for side in (BEFORE, AFTER) for axis in "xy"}
        start = {f"query_{side}_{axis}": its[f"{side}_{axis}"] for side in (BEFORE, AFTER) for axis in "xy"}
        rows.append({"query": texts[query], "kind": own["kind"], "text": own["text"], **ends, **start})
    return pd.DataFrame(rows)


def _of(place: pd.DataFrame, text: str, *, passage: bool) -> "pd.Series[Any]":
    """Return the row of the text with this id.

    `passage` says if it is a passage or a query, which may have the same id.
    """
    places = place.loc[[text]]
    return places[(places["kind"] != "query") if passage else (places["kind"] == "query")].iloc[0]


def _chart(points: pd.DataFrame, moves: pd.DataFrame, queries: list[str]) -> Any:
    """Draw the points of one model at a time, and the lines of the chosen query."""
    side = alt.param(name="side", value=AFTER, bind=alt.binding_select(options=[BEFORE, AFTER], name="model "))
    offered = [NOBODY, *queries]
    query = alt.param(name="query", value=offered[1], bind=alt.binding_select(options=offered, name="query "))
    here = {axis: f"side === 'before' ? datum.before_{axis} : datum.after_{axis}" for axis in "xy"}
    its = {
        f"query_{axis}": f"side === 'before' ? datum.query_before_{axis} : datum.query_after_{axis}" for axis in "xy"
    }
    mine = alt.Chart(embedded(moves)).transform_filter("datum.query === query").transform_calculate(**here, **its)
    layers = [_dots(points).transform_filter("datum.side === side"), *_highlights(mine)]
    return alt.layer(*layers).add_params(side, query)


def _highlights(mine: Any) -> list[Any]:
    """Draw the movements, links and points of the selected query and its passages."""
    moved = mine.mark_rule(color=MOVED, strokeDash=[4, 3]).encode(
        x=_x("before_x"), y=_y("before_y"), x2="after_x:Q", y2="after_y:Q"
    )
    linked = mine.mark_rule(color=LOOKS["relevant"][0], strokeWidth=1.8).encode(
        x=_x("query_x"), y=_y("query_y"), x2="x:Q", y2="y:Q"
    )
    return [moved, linked, _marks(mine, size=130, opacity=1)]


def _dots(points: pd.DataFrame) -> Any:
    return _marks(alt.Chart(embedded(points)), size=28, opacity=0.55)


def _marks(chart: Any, *, size: int, opacity: float) -> Any:
    """Draw texts as points. Colour and shape show whether a text is a query, a relevant passage or another passage."""
    kinds, colours, shapes = list(LOOKS), [c for c, _ in LOOKS.values()], [s for _, s in LOOKS.values()]
    return chart.mark_point(filled=True, size=size, opacity=opacity).encode(
        x=_x("x"), y=_y("y"),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=colours), title=None),
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=shapes), title=None),
        tooltip=[alt.Tooltip("kind:N"), alt.Tooltip("text:N")],
    )  # fmt: skip


def _x(field: str) -> Any:
    return alt.X(f"{field}:Q", title="component 1", scale=alt.Scale(zero=False))


def _y(field: str) -> Any:
    return alt.Y(f"{field}:Q", title="component 2", scale=alt.Scale(zero=False))


def _paper(points: pd.DataFrame, moves: pd.DataFrame) -> Any:
    """Draw the maps of both models side by side, with every link of a query to its relevant passages."""
    panels = []
    for side in (BEFORE, AFTER):
        links = moves.assign(x=moves[f"{side}_x"], y=moves[f"{side}_y"],
                             query_x=moves[f"query_{side}_x"], query_y=moves[f"query_{side}_y"])  # fmt: skip
        lines = alt.Chart(embedded(links[["x", "y", "query_x", "query_y"]])).mark_rule(
            color=LOOKS["relevant"][0], opacity=0.5
        ).encode(x=_x("query_x"), y=_y("query_y"), x2="x:Q", y2="y:Q")  # fmt: skip
        dots = _dots(points[points["side"] == side])
        panels.append(alt.layer(lines, dots).properties(width=PANEL, height=PANEL, title=side))
    return alt.hconcat(*panels).resolve_scale(x="shared", y="shared")
