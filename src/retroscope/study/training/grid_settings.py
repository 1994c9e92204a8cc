"""Settings of a training ablation, in which every combination of levels is trained and tested."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Annotated, Any

from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError
from retroscope.inputs.settings import DataSettings
from retroscope.ranges import Range, Seed, check_ranges
from retroscope.retrieval.measures import DEFAULT_MEASURES, check_distinct_measures
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.study.training.settings import PretrainStudySettings
from retroscope.surgery.parts import check_parts
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.settings import TrainingSettings

INTACT = "none"  # the level at which nothing is re-initialised
AXES = ("backbone", "reinitialise", "strategy", "labels", "seed")


@dataclass(frozen=True, kw_only=True)
class GridSettings:
    """Settings of a training ablation: all combinations of backbone, part, strategy, labels and seed are trained.

    Attributes:
        backbones: maps a name to a checkpoint (folder or hub name). Each backbone is one value of the factor
            "backbone".
        objectives: pre-training objectives. For each objective and seed, one more backbone is pre-trained with the
            settings `pretraining`. The objective is one more value of the factor "backbone".
        pretraining: settings of pre-training for all objectives.
        load: recipe fields that you set for every backbone: pooling, prompts and others.
        data: judged queries that the cells are trained with.
        tests: collections that every cell is measured on. Every seed is tested with the same queries.
        reinitialise: values of the factor "reinitialise": "none", or parts joined by "+", as in "top:2+embeddings".
        strategies: values of the factor "strategy": names of `TrainingSettings.strategy`.
        labels: values of the factor "labels": sizes of the training set, in queries. The queries are drawn by the seed,
            each with all its pairs. A larger set contains the smaller sets. If empty, all training queries are used.
        seeds: seeds of the draw of training queries, of the order of the pairs and of new weights.
        training: training settings that all cells share. With `steps`, a smaller set of labels is seen more often. With
            `epochs`, every set is seen equally often.
        measures: ir-measures names. The first is the headline.
        intervals: settings of the bootstrap intervals over queries.
        keep_models: whether the trained retriever of each cell is kept.
    """

    backbones: dict[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    pretraining: PretrainStudySettings | None = None
    load: LoadSettings = field(default_factory=LoadSettings)
    data: DataSettings | None = None
    tests: tuple[DataSettings, ...] = ()
    reinitialise: tuple[str, ...] = (INTACT, "all")
    strategies: tuple[str, ...] = ("full",)
    labels: tuple[Annotated[int, Range(2, 10**9)], ...] = ()
    seeds: tuple[Seed, ...] = (0, 1, 2)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    measures: tuple[str, ...] = DEFAULT_MEASURES
    intervals: IntervalSettings = field(default_factory=IntervalSettings)
    keep_models: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("objectives", "reinitialise", "strategies", "labels", "seeds", "measures"):
            _check_distinct(name, getattr(self, name))
        if self.objectives and self.pretraining is None:
            raise SettingsError(
                "the setting `objectives` is given without the setting `pretraining`",
                fix="add `pretraining` with its settings `text`, `shape` and `tokenizer`",
            )
        if not self.backbones and not self.objectives:
            raise SettingsError(
                "no backbone was given", fix="give BACKBONE, or the setting `backbones` or `objectives`"
            )
        both = set(self.backbones) & set(self.objectives)
        if both:
            raise SettingsError(
                f"these names are both in `backbones` and in `objectives`: {', '.join(sorted(both))}",
                fix="rename these backbones",
            )
        if not self.tests:
            raise SettingsError(
                "no test collection was given",
                fix="give --test, e.g. --test test (a split of --data) or --test beir:data/nq",
            )
        for name in ("reinitialise", "strategies", "seeds", "measures"):
            if not getattr(self, name):
                raise SettingsError(f"the setting `{name}` is an empty list", fix="give at least one value")
        self._check_levels()

    def _check_levels(self) -> None:
        """Refuse a measure, strategy, objective or part that does not exist."""
        check_distinct_measures(self.measures)
        for strategy in self.strategies:
            replace(self.training, strategy=strategy)
        for objective in self.objectives:
            PretrainingSettings(objective=objective)
        for level in self.reinitialise:
            check_parts(level_parts(level))


@dataclass(frozen=True)
class Cell:
    """One training run of an ablation: backbone, re-initialised parts, strategy, number of labels and seed."""

    backbone: str
    reinitialise: str
    strategy: str
    labels: int
    seed: int

    @property
    def name(self) -> str:
        """Return the name of the folder of this training run, e.g. "bert_top2_full_100_seed0"."""
        words = (self.backbone, self.reinitialise.replace(":", ""), self.strategy, str(self.labels), f"seed{self.seed}")
        return "_".join(_safe(word) for word in words)

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts of the backbone that are re-initialised."""
        return level_parts(self.reinitialise)


def level_parts(level: str) -> tuple[str, ...]:
    """Return the parts to re-initialise that a level names: "top:2+norms" gives ("top:2", "norms"), "none" ()."""
    return () if level == INTACT else tuple(level.split("+"))


def levels(settings: GridSettings, every: int) -> dict[str, tuple[Any, ...]]:
    """Map each factor of the ablation (backbone, re-initialised parts, strategy, labels, seed) to its levels.

    Args:
        every: how many training queries the collection has.

    Raises:
        SettingsError: for more labels than there are training queries.
    """
    labels = tuple(sorted(settings.labels)) or (every,)
    if labels[-1] > every:
        raise SettingsError(
            f"{labels[-1]} labels are asked for, but the collection has {every} judged queries",
            fix=f"give at most {every} (--labels)",
        )
    backbones = (*settings.backbones, *settings.objectives)
    return dict(zip(AXES, (backbones, settings.reinitialise, settings.strategies, labels, settings.seeds), strict=True))


def cells_of(axes: dict[str, tuple[Any, ...]]) -> list[Cell]:
    """Return a training run (cell) for every combination of levels, seed by seed.

    A stopped run has thus finished some seeds.
    """
    *others, seeds = (axes[name] for name in AXES)
    return [
        Cell(**dict(zip(AXES, (*combination, seed), strict=True))) for seed in seeds for combination in product(*others)
    ]


def _check_distinct(name: str, values: Sequence[object]) -> None:
    if len({*values}) < len(values):
        raise SettingsError(
            f"the setting `{name}` names a level more than once: {', '.join(map(str, values))}",
            fix="name each level once",
        )


def _safe(word: str) -> str:
    """Replace characters so that a word is a valid file name on every system."""
    return "".join(c if c.isalnum() or c in "-+" else "-" for c in word)
