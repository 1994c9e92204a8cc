"""Settings: YAML and back is the identity; a name or value that is wrong is an error, however deep."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from retroscope.analyses import analyses
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.erasure.settings import ErasureSettings
from retroscope.analyses.heads.settings import HeadSettings
from retroscope.analyses.neurons.settings import NeuronAblationSettings, NeuronsSettings
from retroscope.analyses.patching.settings import PatchingSettings
from retroscope.analyses.retention.settings import RetentionSettings
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.analyses.vocabulary.settings import VocabularySettings
from retroscope.analyses.weights.settings import WeightSettings
from retroscope.attribution.settings import AttributionSettings
from retroscope.drift.settings import DriftSettings, ShiftSettings
from retroscope.encoders.settings import DTYPES, LoadSettings
from retroscope.encoders.settings import PROTOCOLS as LOADING_PROTOCOLS
from retroscope.errors import SettingsError
from retroscope.inputs.settings import DataSettings, ModelSettings, NegativesSettings, StudySettings
from retroscope.inputs.settings_files import changed, from_yaml, merged
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.probing.controls import CONTROLS
from retroscope.probing.options import ConcatTraining
from retroscope.probing.settings import KNOWN_PROBES, ProbeSettings
from retroscope.probing.settings import PROTOCOLS as PROBING_PROTOCOLS
from retroscope.representations.settings import ExtractionSettings
from retroscope.statistics.resampling.intervals import IntervalSettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import CORRECTIONS
from retroscope.statistics.testing.paired import PAIRED_TESTS
from retroscope.study.protocols import PROTOCOLS, departures, study_settings, under_protocol
from retroscope.study.settings import _differences, as_values, complete, from_values, to_yaml

TEXTS = st.text(max_size=12)
SOMETIMES = st.none() | TEXTS
POSITIVE = st.floats(1e-6, 1e3)
COUNTS = st.integers(1, 10_000)


def some(names: Any) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(sorted(names)), min_size=1, unique=True).map(tuple)


def numbers(least: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(least, 99), min_size=1, unique=True).map(sorted).map(tuple)


LOADS = st.builds(
    LoadSettings,
    pooling=st.none() | st.sampled_from(("cls", "mean", "last_token")),
    max_length=st.none() | COUNTS,
    query_prompt=SOMETIMES,
    passage_prompt=SOMETIMES,
    protocol=st.sampled_from(LOADING_PROTOCOLS),
    dtype=st.sampled_from(sorted(DTYPES)),
    causal=st.none() | st.booleans(),
    name=SOMETIMES,
)
MODELS = st.none() | st.builds(ModelSettings, source=SOMETIMES, query=SOMETIMES, passage=SOMETIMES, load=LOADS)
DATA = st.none() | st.builds(
    DataSettings,
    source=TEXTS,
    split=SOMETIMES,
    columns=st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
    title_separator=SOMETIMES,
    limit_queries=st.none() | COUNTS,
    ignore_identical_ids=st.none() | st.booleans(),
)
PROBES = st.builds(
    ProbeSettings,
    protocol=st.sampled_from(sorted(PROBING_PROTOCOLS)),
    probes=st.none() | some(KNOWN_PROBES),
    controls=st.none() | some(CONTROLS),
    passages=numbers(2),
    seeds=COUNTS,
    layers=st.none() | numbers(0),
    ridge=st.lists(POSITIVE, min_size=1, max_size=3, unique=True).map(tuple),
    tolerance=POSITIVE,
)
STATISTICS = st.builds(
    ComparisonSettings,
    test=st.sampled_from(("auto", *PAIRED_TESTS)),
    correction=st.sampled_from(sorted(CORRECTIONS)),
    level=st.floats(0.5, 0.999),
    margin=st.none() | POSITIVE,
    family=TEXTS,
    family_per=st.lists(TEXTS, max_size=2, unique=True).map(tuple),
)
NEURONS = st.builds(
    AttributionSettings,
    target=st.sampled_from(("norm", "score", "margin")),
    quadrature=st.sampled_from(("gauss:4", "ielab-20", "auto:0.01")),
    parts=some(("intermediate", "output")),
    limit=st.integers(0, 99),
    batch_size=st.none() | COUNTS,
    memory=st.none() | COUNTS,
)
ABLATION = st.builds(
    NeuronAblationSettings,
    fractions=st.sampled_from(((0.01, 0.1), (0.001, 0.5, 1.0))),
    by=st.sampled_from(("signed", "share")),
    fixed_at=st.sampled_from(("mean", "zero")),
    draws=COUNTS,
    held_out=st.booleans(),
)
SWEEPS = st.builds(
    SweepSettings,
    directions=some(("restored", "grafted")),
    transplants=st.none() | some(("block:1", "block:2-3", "attention", "all")),
    groups=COUNTS,
    shares=st.sampled_from(((), (0.5,))),
)
ANALYSES = st.fixed_dictionaries(
    {},
    optional={
        "probes": st.none() | PROBES,
        "neurons": st.none() | st.builds(NeuronsSettings, attribution=NEURONS, ablation=st.none() | ABLATION),
        "transplants": st.none() | SWEEPS,
        "layers": st.none() | st.just(NoSettings()),
        "weights": st.none() | st.builds(WeightSettings, spectra=st.booleans()),
    },
)
STUDIES = st.builds(
    StudySettings,
    before=MODELS,
    after=MODELS,
    trainings=st.lists(MODELS.filter(lambda model: model is not None), max_size=2).map(tuple),
    data=DATA,
    also=st.lists(DATA.filter(lambda data: data is not None), max_size=2).map(tuple),
    protocol=st.sampled_from(sorted(PROTOCOLS)),
    measures=some(("RR@10", "nDCG@10", "R@100")),
    random_weights=st.booleans(),
    negatives=st.builds(NegativesSettings, how=st.sampled_from(("bm25", "given", "run")), run=SOMETIMES, pool=COUNTS),
    statistics=STATISTICS,
    analyses=ANALYSES,
)


@settings(max_examples=60)
@given(STUDIES)
def test_settings_to_yaml_to_settings_is_the_identity(chosen: StudySettings) -> None:
    assert from_values(yaml.safe_load(to_yaml(chosen))) == complete(chosen)


@settings(max_examples=30)
@given(STUDIES)
def test_the_protocol_changes_nothing_that_settings_name(chosen: StudySettings) -> None:
    assert from_values(under_protocol(as_values(chosen))) == complete(chosen)


def test_a_settings_file_survives_the_disk(tmp_path: Path) -> None:
    chosen = StudySettings(data=DataSettings(source="beir:données/nq 日本", title_separator=" [SEP] "))
    file = tmp_path / "settings.yaml"
    file.write_text(to_yaml(chosen), encoding="utf-8")
    assert from_values(from_yaml(file)) == complete(chosen)


GROUPS = {
    (): StudySettings,
    ("before",): ModelSettings,
    ("after", "load"): LoadSettings,
    ("data",): DataSettings,
    ("extraction",): ExtractionSettings,
    ("negatives",): NegativesSettings,
    ("probes",): ProbeSettings,
    ("probes", "concat"): ConcatTraining,
    ("neurons",): NeuronsSettings,
    ("neurons", "attribution"): AttributionSettings,
    ("neurons", "ablation"): NeuronAblationSettings,
    ("neurons", "ablation", "intervals"): IntervalSettings,
    ("weights",): WeightSettings,
    ("representations",): DriftSettings,
    ("transplants",): SweepSettings,
    ("baselines",): BaselineSettings,
    ("statistics",): ComparisonSettings,
    ("erasure",): ErasureSettings,
    ("vocabulary",): VocabularySettings,
    ("shift",): ShiftSettings,
    ("heads",): HeadSettings,
    ("patching",): PatchingSettings,
    ("retention",): RetentionSettings,
    ("retention", "readout"): ReadoutSettings,
}


def groups(kind: type) -> Iterator[type]:
    """The settings dataclass and all below it."""
    yield kind
    for hint in get_type_hints(kind).values():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner):
                yield from groups(inner)  # type: ignore[arg-type]


def test_the_list_of_groups_is_whole() -> None:
    kinds = {one for analysis in analyses().values() for one in groups(analysis.settings())}
    assert set(GROUPS.values()) == (set(groups(StudySettings)) | kinds) - {NoSettings}


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: ".".join(path) or "top")
def test_a_misspelt_name_is_an_error_that_shows_the_nearest(path: tuple[str, ...]) -> None:
    known = fields(GROUPS[path])[0].name
    values: Any = {f"{known}x": 1}
    for group in reversed(path):
        values = {group: values}
    with pytest.raises(SettingsError, match=rf"unknown setting '{known}x'\n  fix: did you mean .*'{known}'") as wrong:
        from_values(values, where="study.yaml")
    assert wrong.value.where == ".".join(("study.yaml", *path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probes": {"rank": "many"}}, r"rank: .*integer.*'many'"),
        ({"probes": 3}, r"the settings of the analysis 'probes' are 3, not a mapping\n  fix: give a mapping"),
        ({"before": "bert"}, r"before: .*'bert'"),
        ({"data": {}}, r"data\.source: Field required"),
        ({"measures": "RR@10"}, r"measures: .*'RR@10'"),
        ({"negatives": {"how": "bm52"}}, r"negatives\.how: .*'bm25', 'given' or 'run'"),
        ({"measures": []}, r"measures is \(\), .*\n  fix: give at least one measure"),
        ({"measures": ["RR@10", "RR@10"]}, r"repeats a measure\n  fix: .* each measure once"),
        (
            {"measures": ["RR@10", "MRR@10"]},
            r"'RR@10' and 'MRR@10' are names of the same measure\n  fix: name each measure once",
        ),
        (
            {"measures": ["nDCG(cutoff=10)", "R@10", "nDCG@10"]},
            r"'nDCG\(cutoff=10\)' and 'nDCG@10' are names of the same measure",
        ),
        ({"heads": {"measures": ["AP", "MAP"]}}, r"'AP' and 'MAP' are names of the same measure"),
        ({"transplants": {"measures": ["R@10", "Recall@10"]}}, r"'R@10' and 'Recall@10' are names of the same measure"),
        (
            {"neurons": {"ablation": {"measures": ["RR@10", "MRR@10"]}}},
            r"'RR@10' and 'MRR@10' are names of the same measure",
        ),
        ({"measures": ["NDGC@10"]}, r"unknown measure 'NDGC@10'\n  fix: did you mean 'nDCG@10'"),
        ({"probes": {"probes": ["cosin"]}}, r"unknown probe 'cosin'\n  fix: did you mean 'cosine'"),
        (
            {"transplants": {"draws": -1}},
            r"^settings\.transplants \(SweepSettings\): draws is -1, which is out of range\n  fix: give at least 0",
        ),
        ({"statistics": {"correction": "bonferoni"}}, "did you mean 'bonferroni'"),
        ({"after": {"source": "x", "load": {"pooling": "men"}}}, "unknown pooling 'men'\n  fix: did you mean 'mean'"),
    ],
)
def test_a_wrong_value_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        from_values(under_protocol(values))


def test_all_wrong_types_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)seeds.*rank"):
        from_values({"probes": {"rank": "many", "seeds": "few"}})


@pytest.mark.parametrize("name", ["ielab-2052", 3, ["default"], None])
def test_an_unknown_protocol_is_an_error(name: object) -> None:
    with pytest.raises(SettingsError, match=r"unknown protocol .*\n  fix: .*default.*ielab-2025"):
        under_protocol({"protocol": name})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", r"must map names to values, but this file holds \['a'\]\n  fix: write NAME: VALUE"),
        ("a:\n  - [1", r"not YAML \(ParserError: .*, line 2\)"),
        ("3", "must map names to values, but this file holds 3"),
        ("", "must map names to values, but this file holds None"),
    ],
)
def test_a_file_that_is_no_settings_file_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=message) as wrong:
        from_yaml(file)
    assert wrong.value.where == str(file)


def test_a_settings_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="this settings file does not exist"):
        from_yaml(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="this is a folder, not a file"):
        from_yaml(tmp_path)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("probes.rank=32", {"probes": {"rank": 32, "seeds": 5}}),
        ("probes={rank: 8}", {"probes": {"rank": 8, "seeds": 5}}),
        ("measures=[RR@10, R@10]", {"probes": {"seeds": 5}, "measures": ["RR@10", "R@10"]}),
        ("data.source=a=b", {"probes": {"seeds": 5}, "data": {"source": "a=b"}}),
        ("probes.seeds=null", {"probes": {"seeds": None}}),
    ],
)
def test_an_assignment_changes_one_value(assignment: str, expected: object) -> None:
    values = {"probes": {"seeds": 5}}
    assert changed(values, [assignment]) == expected
    assert values == {"probes": {"seeds": 5}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("probes.rank", "invalid assignment.*\n  fix: write A.B=VALUE, e.g. --set probes.rank=32"),
        ("=3", "invalid assignment"),
        ("probes.seeds.many=3", "'seeds' is a value, not a group"),
        ("measures=[RR@10", r"not YAML \(ParserError: .*\)\n  fix: write lists as \[a, b\]"),
    ],
)
def test_a_broken_assignment_is_an_error(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        changed({"probes": {"seeds": 5}}, [assignment])


def test_groups_are_merged_however_deep() -> None:
    below = {"a": {"b": {"c": 1, "d": 2}}, "e": 1}
    assert merged(below, {"a": {"b": {"d": 3}}, "e": None}) == {"a": {"b": {"c": 1, "d": 3}}, "e": None}


def test_a_protocol_sets_every_room_and_the_user_wins() -> None:
    chosen = from_values(
        under_protocol(
            {"protocol": "ielab-2025", "before": {"source": "a"}, "after": {"source": "b"}, "statistics": {"seed": 7}}
        )
    )
    assert chosen.before is not None
    assert chosen.after is not None
    probes = chosen.of("probes", ProbeSettings)
    assert probes is not None
    assert {chosen.before.load.protocol, chosen.after.load.protocol, probes.protocol} == {"ielab-2025"}
    assert probes.chosen_probes == ("concat",)
    assert not chosen.random_weights
    assert (chosen.statistics.test, chosen.statistics.correction) == ("unpaired_t", "bonferroni")
    assert chosen.statistics.paired.test == "auto", "of all but probes: the published test knows no pairs"
    assert chosen.statistics.seed == 7
    attribution = chosen.analyses["neurons"].attribution
    assert (attribution.limit, attribution.thresholds) == (0, (0.01, 0.1)), "the published counts are of all texts"
    own = from_values(under_protocol({"protocol": "ielab-2025", "statistics": {"test": "paired_t"}}))
    assert (own.statistics.test, own.statistics.correction) == ("paired_t", "bonferroni")


def test_every_room_knows_the_same_protocols() -> None:
    assert set(PROTOCOLS) == set(LOADING_PROTOCOLS) == set(PROBING_PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_as_it_is_departs_from_nothing(name: str) -> None:
    assert departures(from_values(under_protocol({"protocol": name, "after": {"source": "b"}}))) == []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_python_gets_a_protocol_as_the_command_line_does(name: str) -> None:
    assert study_settings(protocol=name) == from_values(under_protocol({"protocol": name}))
    assert departures(study_settings({"after": {"source": "b"}}, protocol=name)) == []
    assert study_settings({"probes": {"seeds": 2}}, protocol=name).of("probes", ProbeSettings) == replace(
        study_settings(protocol=name).of("probes", ProbeSettings) or ProbeSettings(), seeds=2
    )


def test_further_trainings_are_loaded_under_the_protocol_of_the_study() -> None:
    trainings = [{"source": "c"}, {"source": "d", "load": {"pooling": "cls", "protocol": "default"}}]
    chosen = study_settings(
        {"before": {"source": "a"}, "after": {"source": "b"}, "trainings": trainings}, protocol="ielab-2025"
    )
    assert [one.load.protocol for one in chosen.trainings] == ["ielab-2025", "default"], "unless the user says so"
    assert chosen.trainings[1].load.pooling == "cls"
    said = "protocol 'ielab-2025' sets trainings[1].load.protocol to 'ielab-2025', but it is 'default'"
    assert departures(chosen) == [said]
    with pytest.raises(SettingsError, match="trainings"):
        study_settings({"trainings": "c"}, protocol="ielab-2025")


def test_settings_that_differ_beyond_what_is_shown_are_named() -> None:
    long = "a" * 500
    said = _differences({"a.b": long, "c": 1, "d": 2}, {"a.b": f"{long}b", "c": 1, "e": 3})
    assert [line.partition(":")[0].strip(" -") for line in said.splitlines() if line] == ["a.b", "d", "e"]
    assert "d: 2 in the folder, not set in the new study" in said


def test_a_mixture_of_protocols_is_said() -> None:
    mixed = StudySettings(protocol="ielab-2025", after=ModelSettings(source="b"))
    departed = departures(mixed)
    assert "protocol 'ielab-2025' sets probes.protocol to 'ielab-2025', but it is 'default'" in departed
    assert {word.split()[3] for word in departed} == {
        "probes.protocol", "statistics.test", "statistics.correction", "after.load.protocol",
        "neurons.attribution.target", "neurons.attribution.quadrature", "neurons.attribution.thresholds",
        "neurons.attribution.batch_size", "neurons.attribution.limit", "extraction.norm_each_layer", "random_weights",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "a:\n  b: 1\n  b: 1\n", "a: [{b: 1, b: 2}]\n"])
def test_a_name_that_occurs_twice_in_a_settings_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"'[ab]' occurs more than once, line [13]\)\n"):
        from_yaml(file)


def test_a_value_on_the_command_line_names_each_field_once() -> None:
    assert changed({}, ["a={b: 1, c: 2}"]) == {"a": {"b": 1, "c": 2}}
    with pytest.raises(SettingsError, match="is not YAML"):
        changed({}, ["a={b: 1, b: 2}"])


def test_anchors_of_yaml_are_merged_as_before(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("one: &base {a: 1, b: 2}\ntwo:\n  <<: *base\n  b: 3\n")
    assert from_yaml(file)["two"] == {"a": 1, "b": 3}
