"""Which test, and which family of p-values, every room of a study has."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import numpy as np
import xarray as xr

from retroscope.scores import Scores
from retroscope.statistics.difference import Difference
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.protocols import PROTOCOLS
from retroscope.study.settings import StudySettings
from retroscope.study.study import Study

PAIRED = {"mcnemar", "paired_t"}


def differences(value: object, name: str = "") -> Iterator[tuple[str, Difference]]:
    """Every `Difference` inside of a result, with where it is."""
    if isinstance(value, Difference):
        yield name, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from differences(one, f"{name}/{key}")
    elif is_dataclass(value):
        for one in fields(value):
            yield from differences(getattr(value, one.name), f"{name}/{one.name}" if name else one.name)


def test_the_published_test_is_that_of_the_probes_alone(study: Study) -> None:
    published = ComparisonSettings(**PROTOCOLS["ielab-2025"]["statistics"], resamples=200)
    assert published.test == "unpaired_t"
    settings = replace(study.settings, protocol="ielab-2025", statistics=published)
    findings = replace(study, settings=settings).findings()
    found = {name: {*one.table["test_used"].values.ravel()} - {"none"} for name, one in differences(findings)}
    assert {"retrieval", "layer_retrieval", "transplants/differences/rewind", "neurons/profile"} <= found.keys()
    assert found.pop("probing") == {"unpaired_t"}
    for room, tests in found.items():
        assert tests, room
        assert tests <= PAIRED, room
    assert findings.story is not None
    as_default = replace(study, settings=replace(settings, statistics=replace(published, test="auto")))
    assert as_default.story is not None
    assert findings.story.claims.equals(as_default.story.claims), "what the story tests, it tests as by default"
    assert findings.story.most.equals(as_default.story.most)


def test_a_code_length_is_corrected_without_its_controls() -> None:
    """Three layers, and as many of a control: the corrected p is that of three, not of six."""
    rng = np.random.default_rng(0)
    coords = {"query": [f"q{i}" for i in range(50)], "control": ["none", "shuffled_queries"], "passages": [2],
              "layer": [0, 1, 2]}  # fmt: skip
    before = xr.DataArray(rng.standard_normal((50, 2, 1, 3)), coords, tuple(coords))
    after = before + 0.3 + rng.standard_normal((50, 2, 1, 3))
    whole, own = (
        Study({}, StudySettings(), {f"{side}/mdl": Scores("mdl", v.sel(control=controls)) for side, v in both}).mdl
        for controls in (["none", "shuffled_queries"], ["none"])
        for both in [(("before", before), ("after", after))]
    )
    assert whole is not None
    assert own is not None
    p, corrected = own.table["p"].values, own.table["p_corrected"].values
    assert corrected.min() == 3 * p.min() < 1
    np.testing.assert_array_equal(whole.table["p_corrected"].sel(control=["none"]).values, corrected)
