"""Settings of a whole study: one dataclass a room, together one YAML file.

`settings -> YAML -> settings` is the identity, an unknown name is an error with the nearest
known one, and `--set a.b=c` changes any field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.neurons.ablation_settings import AblationSettings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.attribution.settings import NeuronSettings
from retroscope.drift.representations import DriftSettings
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError, did_you_mean, listed
from retroscope.probing.settings import ProbeSettings
from retroscope.representations.extraction import ExtractionSettings
from retroscope.retrieval.measures import DEFAULT_MEASURES, parse_measure
from retroscope.statistics.settings import AUTO, ComparisonSettings

Kind = TypeVar("Kind")
PUBLISHED_TEST = "unpaired_t"


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings:
    """What is measured of the rankings.

    Attributes:
        measures: ir-measures names; the first is the headline.
        layers: rank by every layer's vectors too.
    """

    measures: tuple[str, ...] = DEFAULT_MEASURES
    layers: bool = True

    def __post_init__(self) -> None:
        if not self.measures or len({*self.measures}) < len(self.measures):
            raise SettingsError(f"measures={self.measures}", fix="name at least one measure, each once")
        for name in self.measures:
            parse_measure(name)


@dataclass(frozen=True, kw_only=True)
class NegativesSettings:
    """Where the probes' hard negatives come from.

    Attributes:
        how: "bm25", "given" (by the collection) or "run" (a TREC run file); "auto" is bm25, but given
            under `ielab-2025` where the collection brings them.
        run: the run file, for how="run".
        pool: negatives kept a query; splits take theirs from this list.
    """

    how: Literal["auto", "bm25", "given", "run"] = "auto"
    run: str | None = None
    pool: int = 100


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which collection, and how its source is read.

    Attributes:
        source: a path or `FORMAT:PATH`.
        split: of the judgments, where the source has several.
        columns: our name -> the source's, where they are not detected.
        title_separator: between title and text; None: the source's custom.
        limit_queries: keep only the first so many judged queries.
        ignore_identical_ids: drop a passage with the query's id; None: the data set's custom.
    """

    source: str
    split: str | None = None
    columns: dict[str, str] | None = None
    title_separator: str | None = None
    limit_queries: int | None = None
    ignore_identical_ids: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which checkpoint, or which two, and how they are loaded.

    Attributes:
        source: folder or hub name of both towers.
        query, passage: of either tower, instead of `source`.
        load: what the user says about the recipe; all else is the checkpoint's.
    """

    source: str | None = None
    query: str | None = None
    passage: str | None = None
    load: LoadSettings = field(default_factory=LoadSettings)


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Everything about a study.

    Attributes:
        before: the backbone; None where a loaded retriever is given instead.
        after: the retriever fine-tuned from it; likewise.
        data: the collection; likewise.
        elsewhere: a second collection, of another kind of text: retrieval and what moved are measured there, too.
        sisters: other trainings of the retriever (other seeds): for intervals over trainings and queries together.
        protocol: "default", or "ielab-2025" for the published one, quirks included.
        neurons: how they are attributed; None leaves that analysis out.
        ablation: what is ablated of them; None leaves it out.
        drift: how weights and representations are compared; None leaves both out.
        transplants: which weights are put into the other model; None leaves them out.
        baselines: what is tried on the frozen backbone; None leaves them out.
    """

    before: ModelSettings | None = None
    after: ModelSettings | None = None
    data: DataSettings | None = None
    elsewhere: DataSettings | None = None
    sisters: tuple[ModelSettings, ...] = ()
    protocol: Literal["default", "ielab-2025"] = "default"
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    negatives: NegativesSettings = field(default_factory=NegativesSettings)
    probing: ProbeSettings = field(default_factory=ProbeSettings)
    neurons: NeuronSettings | None = field(default_factory=NeuronSettings)
    ablation: AblationSettings | None = field(default_factory=AblationSettings)
    drift: DriftSettings | None = field(default_factory=DriftSettings)
    transplants: SweepSettings | None = field(default_factory=SweepSettings)
    baselines: BaselineSettings | None = field(default_factory=BaselineSettings)
    statistics: ComparisonSettings = field(default_factory=ComparisonSettings)

    @property
    def paired_statistics(self) -> ComparisonSettings:
        """Return how all but probes are tested: the published unpaired test is the probes' alone."""
        chosen = self.statistics
        return replace(chosen, test=AUTO) if chosen.test == PUBLISHED_TEST else chosen


def plain(settings: object) -> dict[str, Any]:
    """The settings as JSON-like values."""
    made: dict[str, Any] = TypeAdapter(type(settings)).dump_python(settings, mode="json")
    return made


def to_yaml(settings: StudySettings) -> str:
    """The settings as YAML."""
    return yaml.dump(plain(settings), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """PyYAML folds the line breaks that only Unicode knows, unless their text is in double quotes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.splitlines() in ([], [text]) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def from_plain(values: Mapping[str, Any], where: str = "settings") -> StudySettings:
    """Settings from JSON-like values; every unknown name and wrong value is an error."""
    return read_as(StudySettings, _of_older(values), where)


def _of_older(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, where an older file names one other training, or none, as `sister`."""
    if "sister" not in values or values.get("sisters"):
        return values
    others = {name: value for name, value in values.items() if name != "sister"}
    return {**others, "sisters": [values["sister"]] if values["sister"] is not None else []}


def read_as(kind: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """JSON-like values as settings of a kind; every unknown name and wrong value is an error."""
    _check_names(values, kind, where)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors()]
        raise SettingsError(f"these settings are wrong:{listed(wrong)}", where=where) from error


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two values under one name, without a word."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [key.value for key, _ in node.value]
    for place, (key, _) in enumerate(node.value):
        name = names[place]
        if name in names[:place]:
            raise yaml.constructor.ConstructorError(None, None, f"{name!r} occurs more than once", key.start_mark)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def from_yaml(path: Path) -> dict[str, Any]:
    """The values of a settings file, not checked yet."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        raise SettingsError("there is no such settings file", where=str(path)) from error
    except OSError as error:
        raise SettingsError(f"this settings file cannot be read: {error.strerror}", where=str(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"this is not YAML: {error}", where=str(path)) from error
    if not isinstance(values, dict):
        raise SettingsError("a settings file is a mapping of names to values", where=str(path))
    return values


def changed(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values after `a.b=c` assignments; c is read as YAML."""
    result = dict(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise SettingsError(f"{assignment!r} is no assignment", fix="write --set name.field=value")
        result = assigned(result, name.split("."), _read(assignment, text))
    return result


def _read(assignment: str, text: str) -> object:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SettingsError(f"the value of {assignment!r} is not YAML", fix="write lists as [a, b]") from error


def assigned(values: Mapping[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """The values with the one at `path` replaced; mappings are merged into mappings, however deep."""
    head, *rest = path
    if not rest:
        return merged(values, {head: value})
    inner = values.get(head) or {}
    if not isinstance(inner, Mapping):
        raise SettingsError(f"{head!r} is a value, not a group of settings", where=".".join(path))
    return {**values, head: assigned(inner, rest, value)}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both name a value, the one `above` wins, and groups are merged."""
    both = dict(below)
    for name, value in above.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _check_names(values: Mapping[str, Any], kind: Any, where: str) -> None:
    """Unknown names, however deep, with the nearest known one."""
    types = get_type_hints(kind)
    for name, value in values.items():
        if name not in types:
            raise SettingsError(f"there is no setting {name!r}", where=where, fix=did_you_mean(str(name), types))
        inner = next((t for t in (types[name], *get_args(types[name])) if is_dataclass(t)), None)
        several = {f".{i}": item for i, item in enumerate(value)} if isinstance(value, list | tuple) else {"": value}
        for place, item in several.items():
            if inner is not None and isinstance(item, Mapping):
                _check_names(item, inner, f"{where}.{name}{place}")
