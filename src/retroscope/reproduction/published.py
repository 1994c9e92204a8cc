"""The type `PublishedStudy`: the models, data sets, figures, claims and printed numbers of a paper. No torch."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter

from retroscope.errors import SettingsError, unknown_name

STUDIES = {"ielab-2025": "ielab_2025"}  # name -> folder of its data in this package
PROBES, NEURONS = "probes", "neurons"  # kinds of a figure


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One model of the paper, with its hub names and sizes.

    Attributes:
        label: name of the model in the paper's figures.
        source: hub name of the model, or of its passage tower if `query` is given.
        query: hub name of the query tower, or "" if both towers are one model.
        needs: hub names of other models that `source` loads, e.g. the base of an adapter.
        pooling: "cls", "mean" or "eos", as the paper calls them.
        backbone: name of the model that it was fine-tuned from, or "" for a backbone.
        published_at_random: whether the published code loads one of its encoders with random weights.
        blocks, width, inner: number of transformer blocks, size of a hidden state, and number of hidden units of an
            FFN.
        parameters: number of parameters of all towers together.
        threshold: a neuron is active in an example if its attribution exceeds this share of the largest one.
    """

    label: str
    source: str
    pooling: Literal["cls", "mean", "eos"]
    blocks: int
    width: int
    inner: int
    parameters: int
    query: str = ""
    needs: tuple[str, ...] = ()
    backbone: str = ""
    published_at_random: bool = False
    threshold: float = 0.1

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the hub names of all checkpoints that the model is loaded from."""
        return tuple(name for name in (self.query, self.source, *self.needs) if name)

    @property
    def argument(self) -> str:
        """Return the model as an argument of the command line: a hub name, or "query=NAME,passage=NAME"."""
        return f"query={self.query},passage={self.source}" if self.query else self.source


@dataclass(frozen=True, kw_only=True)
class PublishedData:
    """One data set of the paper, with its hub name and sizes.

    Attributes:
        label: name of the data set for readers.
        source: hub name of the data set.
        folder: folder of the parquet files in its repository.
        splits: "probes" or "neurons" -> the split that figures of this kind use.
        rows: split -> approximate number of rows (a question, a positive and negatives each).
        queries: split -> approximate number of questions.
        gigabytes: approximate size of the download.
        about: description of how the data set was made.
    """

    label: str
    source: str
    folder: str
    splits: Mapping[str, str]
    rows: Mapping[str, int]
    queries: Mapping[str, int]
    gigabytes: float
    about: str


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One figure of the paper: its kind, data set and models.

    Attributes:
        number: number of the figure in the paper.
        kind: "probes" (accuracies by layer) or "neurons" (active neurons by layer).
        title: title of the figure.
        data: name of the data set in the study.
        models: names of the models in the study, backbones first.
        tower: tower whose neurons are counted, or "" for probes.
    """

    number: int
    kind: Literal["probes", "neurons"]
    title: str
    data: str
    models: tuple[str, ...]
    tower: Literal["", "query", "passage"] = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, with the statistic and the rule that decide whether it holds.

    Attributes:
        name: identifier of the claim, which stays the same between versions.
        claim: the claim as a sentence.
        figure, model: number of the figure that the claim is about, and the fine-tuned model in it.
        statistic: a name in `claims.STATISTICS`.
        expects: the result that the claim predicts: "changed", "unchanged", "higher" or "lower" than the backbone.
        part: the FFN matrix whose active neurons the claim is about; "" for probes.
        layers: first and last layer of the claim; if empty, all layers.
    """

    name: str
    claim: str
    figure: int
    model: str
    statistic: Literal["largest_change", "active_share"]
    expects: Literal["changed", "unchanged", "higher", "lower"]
    part: str = ""
    layers: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PublishedPoint:
    """One published probe accuracy: a point of a curve in Figures 1-4.

    Attributes:
        data, model: names of the data set and the model in the study.
        passages: number N of candidates of a probe example.
        layer: number of the layer; 0 is the embedding output.
        accuracy: the published accuracy.
        star: whether the paper marks the accuracy as significantly different from that of the backbone.
    """

    data: str
    model: str
    passages: int
    layer: int
    accuracy: float
    star: bool


@dataclass(frozen=True, kw_only=True)
class PublishedStudy:
    """A published study: its models, data sets, figures, claims and published accuracies.

    Attributes:
        name: name of the study on the command line, e.g. "ielab-2025".
        title, authors, venue: title, authors and venue of the paper.
        credit: where the published accuracies come from.
        numbering: note for readers about the numbers of the figures.
        margin: equivalence margin: the smallest difference of accuracies that matters.
        level: confidence level of intervals and tests.
        reading_error, rounding_error: largest error of a published accuracy from reading the plot, and from rounding.
        layer_tests: pooling -> the number of tests that the paper corrects for.
        passages: the numbers N of candidates of the probes.
        models, data: models and data sets by name.
        downloads: hub name of a model -> approximate size of its download in gigabytes.
        revision: branch or commit of all models and data sets on the hub.
        figures: the figures, in the order of the paper.
        claims: the claims, in order.
        points: all published accuracies.
    """

    name: str
    title: str
    authors: str
    venue: str
    credit: str
    numbering: str
    margin: float
    level: float
    reading_error: float
    rounding_error: float
    layer_tests: Mapping[str, int]
    passages: tuple[int, ...]
    models: Mapping[str, PublishedModel]
    data: Mapping[str, PublishedData]
    downloads: Mapping[str, float]
    revision: str
    figures: tuple[PublishedFigure, ...]
    claims: tuple[Claim, ...] = ()
    points: tuple[PublishedPoint, ...] = field(default=(), repr=False)

    @property
    def alpha(self) -> float:
        """Return the error rate of the tests, 1 - `level`."""
        return round(1 - self.level, 12)

    def figure(self, number: int) -> PublishedFigure:
        """Return the figure with this number.

        Raises:
            SettingsError: if the paper has no figure with this number.
        """
        by_number = {figure.number: figure for figure in self.figures}
        if number not in by_number:
            first, last = min(by_number), max(by_number)
            raise SettingsError(
                f"this study has no figure {number}", where=self.name, fix=f"choose from {first} to {last}"
            )
        return by_number[number]

    def points_of(self, figure: PublishedFigure) -> list[PublishedPoint]:
        """Return the published accuracies in a figure; empty for figures of neurons."""
        return [point for point in self.points if point.data == figure.data and point.model in figure.models
                and figure.kind == PROBES]  # fmt: skip


@cache
def published_study(name: str) -> PublishedStudy:
    """Read a published study from the files of this package.

    Raises:
        SettingsError: if no published study has this name.
    """
    if name not in STUDIES:
        raise unknown_name("published study", name, STUDIES)
    values = {**_yaml(name, "study.yaml"), "claims": _yaml(name, "claims.yaml")}
    reader = TypeAdapter(PublishedStudy)
    return reader.validate_python({**values, "points": _points(name, reader.validate_python(values))})


def data_text(study: str, file: str) -> str:
    """Return the content of one data file of a published study, such as "study.yaml"."""
    folder = files("retroscope.reproduction") / STUDIES[study]
    return (folder / file).read_text(encoding="utf-8")


def _yaml(study: str, file: str) -> Any:
    return yaml.safe_load(data_text(study, file))


def _points(name: str, study: PublishedStudy) -> list[dict[str, Any]]:
    """Read the published accuracies from the CSV file as values of `PublishedPoint`.

    The file names models by label and pooling; they are replaced by the names in the study.
    """
    named: dict[tuple[str, str], str] = {(model.pooling, model.label): key for key, model in study.models.items()}
    rows = csv.DictReader(io.StringIO(data_text(name, "probe_curves.csv")))
    return [
        {
            "data": row["dataset"],
            "model": named[row["pooling"], row["model"]],
            "passages": int(row["n_passages"]),
            "layer": int(row["layer"]),
            "accuracy": float(row["accuracy"]),
            "star": row["sig_star"] == "1",
        }
        for row in rows
    ]
