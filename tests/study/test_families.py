"""Which test, and which family of p-values, every analysis of a study has."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from retroscope.analyses.measurement import Measurement
from retroscope.analyses.probes.report import REPORTER
from retroscope.analyses.section import Reading
from retroscope.inputs.settings_files import plain
from retroscope.scores import Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.protocols import PROTOCOLS
from retroscope.study.study import Study
from synthetic_subject import subject

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "audit"))

from which_tests import comparisons

PAIRED = {"mcnemar", "paired_t"}


def test_the_published_test_is_that_of_the_probes_alone(study: Study) -> None:
    published = ComparisonSettings(**PROTOCOLS["ielab-2025"]["statistics"], resamples=200)
    assert published.test == "unpaired_t"
    settings = {**study.settings, "protocol": "ielab-2025", "statistics": plain(published)}
    under = replace(study, settings=settings)
    by_name = {
        name: {*one.table["test_used"].values.ravel()} - {"none"} for name, one in comparisons(dict(under.results))
    }
    places = {f"/{name}" for name in ("retrieval/by_collection/0/effect", "layers/by_collection/0/effect")}
    places |= {
        f"/{name}" for name in ("transplants/by_collection/0/differences/restored", "neurons/towers/query/profile")
    }
    assert places <= by_name.keys()
    assert by_name.pop("/probes/effect") == {"unpaired_t"}
    assert by_name.keys() == {place for place, _ in comparisons(dict(study.results))} - {"/probes/effect"}
    for place, tests in by_name.items():
        assert tests, place
        assert tests <= PAIRED, place
    as_default = replace(study, settings={**settings, "statistics": plain(replace(published, test="auto"))})
    one, two = (each["localisation"] for each in (under, as_default))
    assert one.claims.equals(two.claims), "what localisation tests, it tests as by default"
    assert one.most.equals(two.most)


def test_every_analysis_has_its_own_family(study: Study) -> None:
    """No test of one analysis is corrected for those of another: each `Difference` knows its own families alone."""
    found = dict(comparisons(dict(study.results)))
    analyses_of = {place.split("/")[1] for place in found}
    assert {"retrieval", "layers", "probes", "representations", "neurons", "transplants", "baselines"} <= analyses_of
    for place, one in found.items():
        tested = int(np.isfinite(one.table["p"].values).sum())
        assert sum(one.method["family_sizes"]) >= tested > 0, place
        alone = one.table["p_corrected"].values >= one.table["p"].values - 1e-12
        assert alone[np.isfinite(one.table["p"].values)].all(), place


def test_a_code_length_is_corrected_without_its_controls() -> None:
    """Three layers, and as many of a control: the corrected p is that of three, not of six."""
    rng = np.random.default_rng(0)
    coords = {"query": [f"q{i}" for i in range(50)], "control": ["none", "shuffled_queries"], "passages": [2],
              "layer": [0, 1, 2]}  # fmt: skip
    before = xr.DataArray(rng.standard_normal((50, 2, 1, 3)), coords, tuple(coords))
    after = before + 0.3 + rng.standard_normal((50, 2, 1, 3))
    whole, own = (
        REPORTER.infer(
            [code_lengths(before.sel(control=controls), after.sel(control=controls))], Reading(subject())
        ).mdl
        for controls in (["none", "shuffled_queries"], ["none"])
    )
    p, corrected = own.table["p"].values, own.table["p_corrected"].values
    assert corrected.min() == 3 * p.min() < 1
    np.testing.assert_array_equal(whole.table["p_corrected"].sel(control=["none"]).values, corrected)


def code_lengths(before: xr.DataArray, after: xr.DataArray) -> Measurement:
    """Return a measurement of code lengths alone."""
    scores = {f"{side}/mdl": Scores("mdl", values) for side, values in (("before", before), ("after", after))}
    return Measurement(scores=scores, facts={"records": [], "split_sizes": []})
