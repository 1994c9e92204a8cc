"""An analysis that another package brings by its entry point takes part in everything; no file of ours knows it."""

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from retroscope.analyses import SHARED_SETTINGS, analyses
from retroscope.analyses.analysis import DEPTHS
from retroscope.cli.commands import compare
from retroscope.cli.switches import switches
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.settings import StudySettings
from retroscope.statistics.settings import ComparisonSettings
from retroscope.study.outcome import Runnable
from retroscope.study.planning.depths import depth_values
from retroscope.study.planning.plan import plan_study
from retroscope.study.reporting.console import console_text
from retroscope.study.reporting.missing import missing
from retroscope.study.run import KEPT, run_study
from retroscope.study.settings import from_values, to_yaml
from retroscope.study.study import load_study

ENTRY = "[retroscope.analyses]\ntokens = toy_analysis:ANALYSIS\n"
OWN = ("layers", "probes", "weights", "representations", "neurons", "transplants", "baselines")
OFF = StudySettings(
    measures=("RR@10",),
    random_weights=False,
    statistics=ComparisonSettings(resamples=200, permutations=200),
    analyses=dict.fromkeys(OWN),
)


def install(home: Path, entries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package by its metadata on the path, with these entry points."""
    folder = home / "toy_analysis-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-analysis\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(entries)
    monkeypatch.setattr(sys, "path", [*sys.path, str(home)])
    importlib.invalidate_caches()
    analyses.cache_clear()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy analysis as an installed package: its metadata on the path, nothing else."""
    install(tmp_path / "site", ENTRY, monkeypatch)
    yield
    analyses.cache_clear()


@pytest.mark.usefixtures("installed")
def test_it_is_planned_run_saved_and_reported(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    models = {"before": backbone, "after": retriever}
    plan = plan_study(models, [collection], OFF, cache=tmp_path / "cache")
    assert "tokens of 90 queries" in plan.lines()
    assert "tokens" in [step["analysis"] for step in plan.document()["analyses"]]
    *_, outcome = Runnable(plan).run(lambda *_: None)
    page = outcome.write(tmp_path / "out").read_text("utf-8")
    assert '<section id="tokens" ' in page
    assert "How long are the queries for each tokenizer?" in page
    everything = console_text(outcome.study.report_contents, everything=True)
    assert "Tokens of a query" in everything
    assert "A query has" in everything
    assert outcome.document()["analyses"]["tokens"][0]["count"] == "tokens"
    assert (tmp_path / "out" / "tables" / "tokens.csv").is_file()
    assert (tmp_path / "out" / "measured" / "tokens" / "0" / "measurement.json").is_file()
    outcome.close()
    assert list((tmp_path / "cache" / KEPT).iterdir()) == [], "nothing is kept once the study is written"
    loaded = load_study(tmp_path / "out")
    assert console_text(loaded.report_contents) == outcome.text(None)
    assert console_text(loaded.report_contents, everything=True) == everything
    assert loaded.summary() == outcome.document()


@pytest.mark.usefixtures("installed")
def test_a_stopped_study_goes_on_where_it_was(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"before": backbone, "after": retriever}
    whole = run_study(plan_study(models, [collection], OFF, cache=tmp_path / "one"))
    stopped = plan_study(models, [collection], OFF, cache=tmp_path / "two")
    broken = [replace(step, instrument=replace(step.instrument, measure=_interrupted)) if step.analysis.name == "tokens"
              else step for step in stopped.steps]  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run_study(replace(stopped, steps=tuple(broken)))
    again = plan_study(models, [collection], OFF, cache=tmp_path / "two")
    others = [replace(step, instrument=replace(step.instrument, measure=_interrupted))
              if step.analysis.name != "tokens" else step for step in again.steps]  # fmt: skip
    resumed = run_study(replace(again, steps=tuple(others)))
    assert resumed["tokens"].table.equals(whole["tokens"].table)
    assert resumed.summary()["analyses"] == whole.summary()["analyses"]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("installed")
def test_it_is_switched_off_by_its_name(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> None:
    off = replace(OFF, analyses={**OFF.analyses, "tokens": None})
    plan = plan_study({"before": backbone, "after": retriever}, [collection], off, cache=tmp_path)
    assert "tokens" not in [step.analysis.name for step in plan.steps]
    assert from_values(yaml.safe_load(to_yaml(off))).analyses["tokens"] is None


ON_REQUEST = (
    "from dataclasses import replace\nfrom toy_analysis import ANALYSIS\n"
    "ONE = replace(ANALYSIS, name='rare', on_request=True)\n"
)


def test_what_is_on_request_is_measured_only_if_it_is_asked_for(
    unusable: Callable[[str, str], None], backbone: Retriever, retriever: Retriever, collection: Collection,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    unusable("wrong_analysis:ONE", ON_REQUEST)
    models = {"before": backbone, "after": retriever}
    plan = plan_study(models, [collection], OFF, cache=tmp_path)
    assert "rare" not in [step.analysis.name for step in plan.steps]
    assert yaml.safe_load(to_yaml(OFF))["rare"] is None
    wanted = replace(OFF, analyses={**OFF.analyses, "rare": from_values({"rare": {}}).analyses["rare"]})
    asked = plan_study(models, [collection], wanted, cache=tmp_path)
    assert "rare" in [step.analysis.name for step in asked.steps]
    for depth in DEPTHS:
        assert "rare" not in depth_values(depth)
    kind = switches()
    assert kind(rare=True).asked == ("rare",)
    assert kind(rare=False).asked == ()
    assert kind(rare=True, no_probes=True).left_out == {"probes": "--no-probes"}
    assert not hasattr(kind(), "no_rare")
    subject = run_study(plan).report_contents.subject
    assert "rare (--rare)" in map(str, missing(subject, {}))


def test_without_its_package_its_settings_are_unknown() -> None:
    analyses.cache_clear()
    with pytest.raises(SettingsError, match="unknown setting 'tokens'"):
        from_values({"tokens": {}})


@pytest.fixture
def unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Install an entry point `wrong = MODULE:OBJECT` whose module holds this source."""

    def make(entry: str, source: str) -> None:
        install(tmp_path / "site", f"[retroscope.analyses]\nwrong = {entry}\n", monkeypatch)
        (tmp_path / "site" / "wrong_analysis.py").write_text(source)

    monkeypatch.delitem(sys.modules, "wrong_analysis", raising=False)
    yield make
    sys.modules.pop("wrong_analysis", None)
    analyses.cache_clear()


NAMED = "from dataclasses import replace\nfrom toy_analysis import ANALYSIS\nONE = replace(ANALYSIS, name={name!r})\n"


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("data", "is already the name of a setting"),
        ("random_weights", "is already the name of a setting"),
        ("out", "conflicts with the option --out"),
        ("json", "conflicts with the option --json"),
        ("append_eos", "conflicts with the option --append-eos"),
    ],
)
def test_an_analysis_that_is_called_like_an_option_is_refused(
    unusable: Callable[[str, str], None], name: str, taken: str
) -> None:
    unusable("wrong_analysis:ONE", NAMED.format(name=name))
    where = r"entry point wrong = wrong_analysis:ONE \(retroscope\.analyses\)"
    with pytest.raises(SettingsError, match=f"{where}: the analysis name '{name}' {taken}\n  fix: rename"):
        importlib.reload(compare)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "the analysis cannot be imported: No module named 'no_such_module'"),
        ("", "the analysis cannot be imported: module 'wrong_analysis' has no attribute 'ONE'"),
        ("ONE = 3", "the entry point names an object of the type int, not an Analysis"),
        (NAMED.format(name="a-b"), "the analysis name 'a-b' is not a Python identifier"),
        (NAMED.format(name="probes"), "the analysis name 'probes' is already taken by another analysis"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(
    unusable: Callable[[str, str], None], source: str, message: str
) -> None:
    unusable("wrong_analysis:ONE", source)
    with pytest.raises(SettingsError, match=f"entry point wrong = wrong_analysis:ONE .*: {message}"):
        analyses()


def test_the_shared_settings_are_those_of_a_study() -> None:
    assert tuple(one.name for one in fields(StudySettings)) == SHARED_SETTINGS
