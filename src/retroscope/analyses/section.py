"""The types `Section` (what an analysis contributes to a report) and `Reading` (what it needs to write its section)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from retroscope.analyses.card import Card, LayerCurves
from retroscope.statistics import Difference
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.latex import PaperTable
from retroscope.typesetting.statements import Estimate, Statement
from retroscope.typesetting.subject import Subject

Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class Section:
    """What one analysis contributes to a report: statements, figures, tables and data.

    Attributes:
        statements: its conclusions, in reading order.
        cards: its short answers for the first screen.
        curves: its panel of the figure on the first screen.
        estimates: effects, each with its measure and collection, that a condition of `compare --gate` may name.
        compared: collection -> effect of fine-tuning on every measure, for an overview of several studies.
        details: conclusions that another analysis, which needs this one, summarises. They are shown in the section of
            this analysis, and in the verdict only if the other analysis reports nothing.
        unconfirmed: conclusions that a control puts in doubt. The section shows them, and the verdict only counts them.
        draw: function that returns the figures of the page and for paper, called only if figures are shown.
        tables: name -> table of the page, and of a paper (LaTeX).
        frames: name -> every number (CSV and parquet).
        large: name -> table that is too large for CSV.
        differences: label -> paired difference. The report prints how each was computed, and its warnings.
        methods: label -> how numbers other than paired differences were computed, JSON-like.
        document: JSON-like values that `summary.json` has under the name of the analysis.
        values: name in its template -> value, in addition to `figures`, `tables` and `subject`.
        printed: names of the tables that are also printed in a terminal.
        head: lines that are printed in a terminal below the names of models and collections.
        data: function that returns name -> JSON-like value for the page's scripts, called only if a page is made.
        files: name of an additional file in the report's folder -> its JSON-like content, e.g. in a published format.
        left_out: what its settings left out, in a few words -> the option that adds it.
    """

    statements: tuple[Statement, ...] = ()
    cards: tuple[Card, ...] = ()
    curves: LayerCurves | None = None
    estimates: tuple[Estimate, ...] = ()
    compared: Mapping[str, Difference] = field(default_factory=dict)
    details: tuple[Statement, ...] = ()
    unconfirmed: tuple[Statement, ...] = ()
    draw: Callable[[], tuple[Figure, ...]] = tuple
    tables: Mapping[str, PaperTable] = field(default_factory=dict)
    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    large: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    document: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    printed: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    data: Callable[[], Mapping[str, Any]] = dict
    files: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Return the figures of the section. They are drawn at the first call."""
        return self.draw()


@dataclass(frozen=True, eq=False)
class Reading:
    """What an analysis reads to report its results: models and collections, and other analyses' results that it needs.

    Attributes:
        subject: models, collections, statistics.
        results: analysis -> its result, for the needed analyses that were measured.
        sections: analysis -> its section of the report, for the same analyses.
    """

    subject: Subject
    results: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, Section] = field(default_factory=dict)

    def result(self, name: str, kind: type[Kind]) -> Kind | None:
        """Return the result of an analysis, checked to be of the type `kind`, or None if it was not measured."""
        needed = self.results.get(name)
        if needed is not None and not isinstance(needed, kind):
            raise TypeError(
                f"the result of the analysis {name!r} has the type {type(needed).__name__}, not {kind.__name__}"
            )
        return needed

    def alarms(self, name: str) -> tuple[Statement, ...]:
        """Return the statements about failed controls of an analysis, which put results that rely on it in doubt."""
        section = self.sections.get(name)
        return () if section is None else tuple(s for s in section.statements if s.failed)
