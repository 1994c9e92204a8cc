"""Write the HTML page of a reproduction from its stored results, with tables and figures. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from retroscope.files.documents import read_document, write_document
from retroscope.files.whole import write_whole
from retroscope.number_format import MISSING, interval, score, signed
from retroscope.reproduction.claims import ClaimOutcome
from retroscope.reproduction.document import ExhibitFacts, Results, RulingFacts
from retroscope.reproduction.figures import figure_names, page_figures
from retroscope.reproduction.places import RESULTS
from retroscope.reproduction.points import PointState
from retroscope.reproduction.published import PROBES, PublishedFigure, PublishedStudy, published_study
from retroscope.typesetting.charts.drawing import write_figures
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.page import fill
from retroscope.typesetting.tables import write_frames

PAGE = "report.html"
NUMBERS = ("by the paper's numbers", "measured as published", "measured, corrected")  # of the rulings of a claim


def write_results(document: Results, folder: Path) -> Path:
    """Write `results.json` with its checksum to a folder, and return its path."""
    write_document(folder / RESULTS, document)
    return folder / RESULTS


def read_results(folder: Path) -> Results:
    """Read `results.json` from a folder.

    Raises:
        DamageError: if the file is damaged.
    """
    return cast(Results, read_document(folder / RESULTS))


def write_page(folder: Path, chosen: Sequence[PublishedFigure] = ()) -> Path:
    """Write the page, tables and figures from a folder's `results.json`, and return the path of the page.

    Args:
        folder: the folder with `results.json`, to which the page is written, too.
        chosen: figures that the page shows; if empty, all figures of the paper.

    Raises:
        DamageError: if `results.json` is damaged.
    """
    results = read_results(folder)
    study = published_study(results["study"])
    shown = tuple(chosen) or study.figures
    figures = page_figures(study, results, shown)
    tables = page_tables(study, results, shown)
    values = {
        "title": f"Reproduction of {study.name}",
        "study": study,
        "results": results,
        "shown": [_shown(study, results, figure) for figure in shown],
        "states": _state_words(results),
        "outcomes": _outcome_words(results),
    }
    page = fill("reproduction.html.j2", figures, tables, values)
    frames = {name: pd.DataFrame(results[name]) for name in ("points", "corrected", "neurons")}
    write_frames(frames, tables, folder / "tables")
    write_figures(figures, folder / "figures")
    return write_whole(folder / PAGE, page.encode())


def _shown(study: PublishedStudy, results: Results, figure: PublishedFigure) -> dict[str, Any]:
    """Return what the page template shows of one figure: number, title, names of charts and table, counts of points."""
    points = [each for each in results["points"] if each["figure"] == figure.number]
    states = {str(state): sum(each["state"] == str(state) for each in points) for state in PointState}
    return {
        "number": figure.number,
        "title": figure.title,
        "figures": list(figure_names(study, figure)),
        "table": f"points-{figure.number}" if figure.kind == PROBES else f"neurons-{figure.number}",
        "points": len(points),
        "measured": any(each["ours"] is not None for each in points)
        or any(each["figure"] == figure.number for each in results["neurons"]),
        "states": {name: count for name, count in states.items() if count},
        "uncorrected": next((each for each in results["uncorrected"] if each["figure"] == figure.number), None),
    }


def _state_words(results: Results) -> str:
    counts = [f"{count:,} {name}" for name, count in results["states"].items() if count]
    return ", ".join(counts)


def summary_lines(results: Results) -> list[str]:
    """Return two or three text lines that summarise a reproduction for a terminal."""
    lines = [f"{len(results['points']):,} published points: {_state_words(results)}"]
    lines += [f"{len(results['claims'])} claims by the paper's own numbers: {_outcome_words(results)}"]
    smoke = "smoke weights: tiny and made up; no number is comparable with the paper's"
    return [*lines, smoke] if results["made_up"] else lines


def _outcome_words(results: Results) -> str:
    """Return the counts of the claims' outcomes by the published numbers, as text such as "7 holds, 2 undecided"."""
    outcomes = [claim["rulings"][0]["outcome"] for claim in results["claims"]]
    return ", ".join(
        f"{outcomes.count(str(outcome))} {outcome}" for outcome in ClaimOutcome if outcomes.count(str(outcome))
    )


def page_tables(study: PublishedStudy, results: Results, chosen: Sequence[PublishedFigure]) -> dict[str, PaperTable]:
    """Return every table of the page by its name, with its cells as text."""
    tables = {"claims": _claims_table(results), "rulings": _rulings_table(results)}
    for figure in chosen:
        if figure.kind == PROBES:
            tables[f"points-{figure.number}"] = _points_table(study, results, figure)
        else:
            tables[f"neurons-{figure.number}"] = _neurons_table(study, results, figure)
    for exhibit in results["exhibits"]:
        if exhibit["effects"]:
            tables[f"exhibit-{exhibit['name']}"] = _exhibit_table(exhibit)
    return tables


def _points_table(study: PublishedStudy, results: Results, figure: PublishedFigure) -> PaperTable:
    """Return a table of the published accuracies of a figure and ours, one row for each model, N and layer."""
    rows = [
        {
            "model": study.models[point["model"]].label,
            "pooling": study.models[point["model"]].pooling,
            "N": point["passages"],
            "layer": point["layer"],
            "published": f"{point['accuracy']:.4f}",
            "star": "*" if point["star"] else "",
            "ours": _digits(point["ours"]),
            "difference": MISSING if point["ours"] is None else f"{point['ours'] - point['accuracy']:+.4f}",
            "tolerance": _digits(point["tolerance"]),
            "limit of one": _digits(point["single_limit"]),
            "state": point["state"],
            "reason": point["reason"],
        }
        for point in results["points"]
        if point["figure"] == figure.number
    ]
    numeric = ("N", "layer", "published", "ours", "difference", "tolerance", "limit of one")
    return PaperTable(pd.DataFrame(rows), f"Figure {figure.number}: every published point", study.credit, numeric)


def _digits(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _neurons_table(study: PublishedStudy, results: Results, figure: PublishedFigure) -> PaperTable:
    """Return a table of the active neurons of a figure, one row for each model, protocol, FFN matrix and layer."""
    rows = [
        {
            "model": study.models[row["model"]].label,
            "protocol": row["protocol"],
            "matrix": row["part"],
            "layer": row["layer"],
            "neurons": row["neurons"],
            "active": row["active"],
            "active in an example": MISSING if row["share"] is None else score(row["share"]),
            "examples": row["examples"],
            "state": "not comparable" if row["made_up"] else "measured",
        }
        for row in results["neurons"]
        if row["figure"] == figure.number
    ]
    numeric = ("layer", "neurons", "active", "active in an example", "examples")
    return PaperTable(pd.DataFrame(rows), f"Figure {figure.number}: active neurons", "", numeric)


def _claims_table(results: Results) -> PaperTable:
    rows = [
        {"claim": claim["claim"]} | {name: r["outcome"] for name, r in zip(NUMBERS, claim["rulings"], strict=True)}
        for claim in results["claims"]
    ]
    return PaperTable(pd.DataFrame(rows), "The paper's claims, each by its rule")


def _rulings_table(results: Results) -> PaperTable:
    """Return a table of the statistic of each claim with its interval, one row for each claim and set of numbers."""
    rows = [
        {
            "claim": claim["name"],
            "figure": claim["figure"],
            "numbers": name,
            "outcome": ruling["outcome"],
            "statistic": MISSING if ruling["value"] is None else signed(ruling["value"]),
            "interval": _interval_of(ruling),
            "of": ruling["what"],
        }
        for claim in results["claims"]
        for name, ruling in zip(NUMBERS, claim["rulings"], strict=True)
    ]
    return PaperTable(pd.DataFrame(rows), "What each claim rests on", "", ("figure", "statistic", "interval"))


def _interval_of(ruling: RulingFacts) -> str:
    low, high = ruling["low"], ruling["high"]
    return MISSING if low is None or high is None else interval(low, high, effect=True)


def _exhibit_table(exhibit: ExhibitFacts) -> PaperTable:
    rows = [
        {
            "of": effect["of"],
            "quantity": effect["quantity"],
            "value": MISSING if effect["value"] is None else f"{effect['value']:,.3f}".rstrip("0").rstrip("."),
            "weights": "smoke" if effect["made_up"] else "the paper's",
        }
        for effect in exhibit["effects"]
    ]
    return PaperTable(pd.DataFrame(rows), f"{exhibit['title']}: measured here", "", ("value",))
