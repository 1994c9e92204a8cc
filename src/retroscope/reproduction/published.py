"""The type `PublishedStudy`: what a paper measured, and its printed numbers, read from package data. No torch."""

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
        label: its name in the paper's figures.
        source: hub name of the model, or of its passage tower if `query` is given.
        query: hub name of the query tower.
        needs: further hub names that `source` reads, e.g. the base of an adapter.
        pooling: "cls", "mean" or "eos", as the paper calls them.
        backbone: name of the model that it was fine-tuned from, or "" for a backbone.
        published_at_random: whether the published code loads an encoder of it with random weights.
        blocks, width, inner: number of transformer blocks, size of a hidden state, and hidden units of an FFN.
        parameters: number of parameters of all towers.
        threshold: share of an example's largest value above which the paper calls a neuron active.
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
        """Return every hub name that the model is loaded from."""
        return tuple(name for name in (self.query, self.source, *self.needs) if name)

    @property
    def argument(self) -> str:
        """Return the model as an argument of the command line."""
        return f"query={self.query},passage={self.source}" if self.query else self.source


@dataclass(frozen=True, kw_only=True)
class PublishedData:
    """One data set of the paper, with its hub name and sizes.

    Attributes:
        label: its name in words.
        source: hub name.
        folder: folder of its parquet files in the repository.
        splits: kind of a figure -> the split that it reads.
        rows: split -> approximate number of its rows (question, positive and negatives).
        queries: split -> approximate number of its questions.
        gigabytes: approximate size of the download.
        about: description of how it was made.
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
        kind: "probes" or "neurons".
        data: name of its data set.
        models: names of its models, backbones first.
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
    """A claim of the paper, with the statistic and the rule that decide it.

    Attributes:
        name: stable name.
        claim: sentence of the claim.
        figure, model: the figure that the claim is about, and the fine-tuned model in it.
        statistic: a name in `claims.STATISTICS`.
        expects: what the claim says about the statistic: "changed", "unchanged", "higher" or "lower".
        part: FFN matrix of a statistic of neurons.
        layers: first and last layer of the claim; empty: all layers.
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
    """One published probe accuracy.

    Attributes:
        data, model: names in the study.
        passages: number N of candidates of a probe example.
        layer: 0 is the embedding output.
        accuracy: as printed.
        star: whether the paper marks it as significantly different from the backbone.
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
        name: name that a user types.
        title, authors, venue: title, authors and venue of the paper.
        credit: source of its numbers.
        numbering: what a reader must know about the numbers of the figures.
        margin: the smallest difference of accuracies that matters here.
        level: confidence level of intervals and tests.
        reading_error, rounding_error: the largest error of reading a point, and of printing it.
        layer_tests: pooling -> the number of tests that the paper corrects for.
        passages: all numbers N of its probes.
        models, data: models and data sets by name.
        downloads: hub name of a model -> its approximate size in gigabytes.
        revision: revision of everything on the hub.
        figures: the figures, in order.
        claims: the claims, in order.
        points: every published accuracy.
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
        """Return the error rate that the tests allow."""
        return round(1 - self.level, 12)

    def figure(self, number: int) -> PublishedFigure:
        """Return the figure of that number.

        Raises:
            SettingsError: if there is none.
        """
        found = {one.number: one for one in self.figures}
        if number not in found:
            raise SettingsError(
                f"this study has no figure {number}", where=self.name, fix=f"choose from {min(found)} to {max(found)}"
            )
        return found[number]

    def points_of(self, figure: PublishedFigure) -> list[PublishedPoint]:
        """Return the published accuracies that a figure shows."""
        return [one for one in self.points if one.data == figure.data and one.model in figure.models
                and figure.kind == PROBES]  # fmt: skip


@cache
def published_study(name: str) -> PublishedStudy:
    """Read a published study from the package's data.

    Raises:
        SettingsError: if no published study has that name.
    """
    if name not in STUDIES:
        raise unknown_name("published study", name, STUDIES)
    values = {**_yaml(name, "study.yaml"), "claims": _yaml(name, "claims.yaml")}
    reader = TypeAdapter(PublishedStudy)
    return reader.validate_python({**values, "points": _points(name, reader.validate_python(values))})


def data_text(study: str, file: str) -> str:
    """Return a data file of a published study."""
    folder = files("retroscope.reproduction") / STUDIES[study]
    return (folder / file).read_text(encoding="utf-8")


def _yaml(study: str, file: str) -> Any:
    return yaml.safe_load(data_text(study, file))


def _points(name: str, study: PublishedStudy) -> list[dict[str, Any]]:
    """Read the published accuracies as records, whose models are identified by pooling and label."""
    named: dict[tuple[str, str], str] = {(one.pooling, one.label): name for name, one in study.models.items()}
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
