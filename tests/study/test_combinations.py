"""Every documented option, alone and with the others, ends in a report; what cannot is refused before encoding."""

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from retroscope.analyses import analyses
from retroscope.analyses.baselines.settings import FEWEST_FOLDS
from retroscope.collection.collection import Collection
from retroscope.collection.loading import drawn_queries
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.errors import EncoderError, SettingsError
from retroscope.files.documents import SCHEMA
from retroscope.inputs.settings import StudySettings
from retroscope.inputs.settings_files import merged
from retroscope.probing.controls import CONTROLS
from retroscope.probing.settings import KNOWN_PROBES
from retroscope.representations import represent
from retroscope.study.protocols import PROTOCOLS, under_protocol
from retroscope.study.run import compare
from retroscope.study.settings import from_values
from retroscope.study.study import Study
from tiny_study import Tiny

pytestmark = pytest.mark.usefixtures("not_drawn")

CHEAP: dict[str, Any] = {
    "measures": ["RR@10", "R@10"],
    "layers": None,
    "negatives": {"pool": 60},
    "probes": {
        "probes": ["cosine"], "controls": ["none"], "passages": [2, 3], "seeds": 1, "layers": [0, 2],
        "concat": {"epochs": 1, "batch_size": 64}, "ridge": [1.0],
    },
    "baselines": None,  # the slowest part by far: tried alone below
    "neurons": {
        "attribution": {"limit": 2, "quadrature": "gauss:2"}, "ablation": {"draws": 1, "fractions": [0.01, 0.1]},
    },
    "transplants": {"measures": ["RR@10"], "shares": [], "draws": 2},
    "statistics": {"resamples": 100, "permutations": 100},
}  # fmt: skip
ALL_OFF: dict[str, Any] = {name: None for name, one in analyses().items() if not one.required}
ON_BY_DEFAULT = [name for name, one in analyses().items() if not (one.required or one.on_request or one.optional_input)]
SWITCHES: dict[str, dict[str, Any]] = {  # part of a study -> the settings without it
    **{name: {name: None} for name in ON_BY_DEFAULT if CHEAP.get(name, {}) is not None},
    "ablation": {"neurons": {"ablation": None}},
    "random weights": {"random_weights": False},
}
RUNS = 8


def covering(factors: int) -> list[tuple[bool, ...]]:
    """Return 8 rows of two-valued factors in which every pair of factors takes all four pairs of values.

    The columns are sets of four rows that share the first row (Kleitman and Spencer 1973): two of them meet there,
    differ, and leave a row of eight in neither.
    """
    columns = [(0, *rest) for rest in itertools.combinations(range(1, RUNS), RUNS // 2 - 1)]
    assert factors <= len(columns)
    return [tuple(row in column for column in columns[:factors]) for row in range(RUNS)]


COVERING = covering(1 + len(SWITCHES))


@pytest.fixture(scope="module")
def few(collection: Collection) -> Collection:
    return drawn_queries(collection, 70)


def settings_of(protocol: str, *changes: Mapping[str, Any]) -> StudySettings:
    values: dict[str, Any] = {"protocol": protocol, **CHEAP}
    for change in changes:
        values = merged(values, change)
    return from_values(under_protocol(values))


def reported(
    models: tuple[Retriever, Retriever], few: Collection, chosen: StudySettings, home: Path, out: Path
) -> Study:
    study = compare(*models, few, chosen, cache=home)
    page = study.report(out)
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    document = json.loads((out / "summary.json").read_text("utf-8"))
    assert document["schema"] == SCHEMA
    left_out = {name for name in analyses() if chosen.analyses.get(name, ...) is None}
    assert not left_out & (set(document["analyses"]) | set(study.measured))
    return study


def without(values: Mapping[str, Any], parts: Iterable[str]) -> Mapping[str, Any]:
    """Return settings with parts of the study left out; what is off as a whole stays off."""
    for part in parts:
        change = SWITCHES[part]
        values = values if part == "ablation" and values.get("neurons", {}) is None else merged(values, change)
    return values


def test_every_pair_of_options_occurs_in_every_combination() -> None:
    for one, other in itertools.combinations(range(1 + len(SWITCHES)), 2):
        assert len({(row[one], row[other]) for row in COVERING}) == 4


@pytest.mark.parametrize("row", COVERING, ids=lambda row: "".join("+-"[not on] for on in row))
def test_every_pair_of_options_ends_in_a_report(
    row: tuple[bool, ...], tiny: Tiny, few: Collection, cache: Path, tmp_path: Path
) -> None:
    """The first option is the protocol, each other one leaves a part of the study out."""
    protocol = list(PROTOCOLS)[row[0]]
    off = [part for part, on in zip(SWITCHES, row[1:], strict=True) if not on]
    models = tuple(
        load_retriever(m, pooling="mean", protocol=protocol, max_length=32) for m in (tiny.backbone, tiny.retriever)
    )
    study = reported((models[0], models[1]), few, settings_of(protocol, without({}, off)), cache, tmp_path)
    if not off:
        measured = {"retrieval", "probes", "neurons", "weights", "representations", "transplants"}
        assert set(study.measured) == measured
    if "random weights" in off:
        kinds = [name for one in study.measured.values() for name in one[0].scores if "random_weights" in name]
        assert kinds == []
    if "random weights" in off and "representations" in study.measured:
        assert not list(study.measured["representations"][0].frames["similarity"]["random_weights"].dropna())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_reports_retrieval_alone(
    protocol: str, backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, tmp_path: Path
) -> None:
    study = reported((backbone, retriever), few, settings_of(protocol, ALL_OFF), cache, tmp_path)
    assert list(study.measured) == ["retrieval"]


@pytest.mark.parametrize("head", [False, True])
def test_the_baselines_alone(
    head: bool, backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, tmp_path: Path
) -> None:
    chosen = settings_of("default", ALL_OFF, {"baselines": {"poolings": ["cls"], "head": head, "folds": FEWEST_FOLDS}})
    reported((backbone, retriever), few, chosen, cache, tmp_path)


@pytest.mark.parametrize(("probe", "control"), [*itertools.product(KNOWN_PROBES, CONTROLS)])
def test_every_probe_alone_with_every_control_alone(
    probe: str, control: str, backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, tmp_path: Path
) -> None:
    chosen = settings_of("default", {**ALL_OFF, "probes": {"probes": [probe], "controls": [control]}})
    reported((backbone, retriever), few, chosen, cache, tmp_path)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_published_protocol_with_every_control_alone(
    control: str, backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, tmp_path: Path
) -> None:
    """It switches random weights off: naming the control contradicts that, and a control is never left out unsaid."""
    alone = {**ALL_OFF, "probes": {"probes": ["cosine"], "controls": ["none", control][control == "none" :]}}
    if control == "random_weights":
        off = {"random_weights": False}
        for settings in (settings_of(PUBLISHED_PROTOCOL, alone), settings_of("default", alone, off)):
            with pytest.raises(SettingsError, match="names random_weights, but random_weights is false"):
                compare(backbone, retriever, few, settings, cache=cache)
        alone["random_weights"] = True
    study = reported((backbone, retriever), few, settings_of(PUBLISHED_PROTOCOL, alone), cache, tmp_path)
    assert control in study.measured["probes"][0].scores["after"].values["control"].values


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_with_its_own_probes_and_controls(
    protocol: str, backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, tmp_path: Path
) -> None:
    chosen = settings_of(protocol, {**ALL_OFF, "probes": {"probes": None, "controls": None}})
    reported((backbone, retriever), few, chosen, cache, tmp_path)


@pytest.mark.parametrize("kept", [1, 2])
def test_a_vector_of_few_numbers_is_reported_on(
    kept: int, tiny: Tiny, few: Collection, cache: Path, tmp_path: Path
) -> None:
    sources = tiny.backbone, tiny.retriever
    one, two = (load_retriever(m, pooling="mean", truncate_dim=kept, similarity="dot") for m in sources)
    chosen = settings_of("default", dict.fromkeys(("neurons", "transplants")))
    reported((one, two), few, chosen, cache, tmp_path)


def test_the_cosine_of_single_numbers_is_refused_at_the_door(tiny: Tiny) -> None:
    load_retriever(tiny.retriever, pooling="mean", truncate_dim=2, similarity="cosine")
    with pytest.raises(
        EncoderError, match=r"truncate_dim=1 leaves vectors of one dimension, whose cosine is only 1 or -1"
    ):
        load_retriever(tiny.retriever, pooling="mean", truncate_dim=1, similarity="cosine")


def test_a_measure_that_cannot_be_computed_is_refused_before_anything_is_encoded(
    backbone: Retriever, retriever: Retriever, few: Collection, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(represent, "extract", lambda *_: pytest.fail("texts were encoded"))
    chosen = settings_of("default", ALL_OFF, {"measures": ["RR@10", "ERR@10"]})
    with pytest.raises(SettingsError, match=r"cannot be computed with the judgments of the collection:\n  - ERR@10"):
        compare(backbone, retriever, few, chosen, cache=cache)
