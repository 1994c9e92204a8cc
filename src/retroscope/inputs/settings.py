"""Settings of a study that all analyses share. Each analysis has its own in `analyses/NAME/settings.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError
from retroscope.ranges import OneOrMore, Range, Seed, check_ranges
from retroscope.representations.settings import ExtractionSettings
from retroscope.retrieval.measures import DEFAULT_MEASURES, check_distinct_measures
from retroscope.statistics.settings import ComparisonSettings

Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class NegativesSettings:
    """Settings of the search for hard negatives of every query.

    Attributes:
        how: source of the negatives: "bm25", "given" (by the collection) or "run" (a TREC run file). "auto" is "bm25",
            except that under the protocol `ielab-2025` it is "given" if the collection has negatives.
        run: the run file, for how="run".
        pool: how many negatives are stored for each query. All splits of the probes take their negatives from these.
    """

    how: Literal["auto", "bm25", "given", "run"] = "auto"
    run: str | None = None
    pool: Annotated[int, Range(1, 10**6)] = 100

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Settings of one collection: the source of its files, and how these files are read.

    Attributes:
        source: a path, or `FORMAT:PATH`.
        split: split of the judgments, if the source has several.
        columns: Retroscope's field -> column of the source, for fields whose column is not detected.
        title_separator: text between the title and the text of a passage. If None, the usual separator of the source.
        limit_queries: keep only this many judged queries, drawn at random. A larger sample with the same seed contains
            the smaller one.
        seed: seed of this random sample.
        ignore_identical_ids: drop a passage from the ranking if it has the id of the query. If None, the usual choice
            for the data set.
    """

    source: str
    split: str | None = None
    columns: dict[str, str] | None = None
    title_separator: str | None = None
    limit_queries: OneOrMore | None = None
    seed: Seed = 0
    ignore_identical_ids: bool | None = None

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of one model: one checkpoint, or one for each tower, and how the checkpoints are loaded.

    Attributes:
        source: folder or hub name of both towers.
        query, passage: folder or hub name of one tower, instead of `source`.
        load: recipe fields that you set. The checkpoint decides all others.
    """

    source: str | None = None
    query: str | None = None
    passage: str | None = None
    load: LoadSettings = field(default_factory=LoadSettings)


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """All settings of a study: models, collections, shared settings, and those of each analysis.

    Attributes:
        before: the backbone, or None if a loaded model is passed instead.
        after: the retriever fine-tuned from it, or the only model, or None if a loaded retriever is passed instead.
        trainings: other training runs of the retriever (other seeds).
        data: the collection that everything is measured on, or None if a loaded collection is passed instead.
        also: further collections, e.g. of another domain or language.
        protocol: "default", or "ielab-2025" for the published study with its quirks.
        measures: retrieval measures by their ir-measures names, e.g. nDCG@10. The first is the headline measure.
        random_weights: also measure a copy of each model with random weights, as a control.
        extraction: how vectors are computed and stored.
        negatives: where hard negatives come from.
        statistics: how differences are tested.
        analyses: name of an analysis -> its settings. None leaves the analysis out. An analysis that is not named has
            its default settings.
    """

    before: ModelSettings | None = None
    after: ModelSettings | None = None
    trainings: tuple[ModelSettings, ...] = ()
    data: DataSettings | None = None
    also: tuple[DataSettings, ...] = ()
    protocol: Literal["default", "ielab-2025"] = "default"
    measures: tuple[str, ...] = DEFAULT_MEASURES
    random_weights: bool = True
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    negatives: NegativesSettings = field(default_factory=NegativesSettings)
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)
    analyses: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.measures or len({*self.measures}) < len(self.measures):
            raise SettingsError(
                f"measures is {self.measures}, which is empty or repeats a measure",
                fix="give at least one measure, and each measure once, e.g. nDCG@10",
            )
        check_distinct_measures(self.measures)

    def of(self, name: str, kind: type[Kind]) -> Kind | None:
        """Return the settings of an analysis, or None if the study leaves it out.

        Raises:
            SettingsError: if the settings are not of the type `kind`.
        """
        settings = self.analyses.get(name, kind())
        if settings is not None and not isinstance(settings, kind):
            raise SettingsError(
                f"the settings of the analysis {name!r} have the type {type(settings).__name__}, not {kind.__name__}",
                fix=f"give a {kind.__name__}, or None to leave the analysis out",
            )
        return settings
