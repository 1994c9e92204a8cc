"""What the options of a command that measures become: settings, and analyses that are left out."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

import pytest
from command_line import Cli

from retroscope.analyses import analyses
from retroscope.analyses.analysis import switch_of
from retroscope.cli.options.run import RunOptions
from retroscope.cli.options.shared import OutputOptions, ReportOptions
from retroscope.cli.options.sizes import SizeOptions
from retroscope.study.reporting.gate import Gate, parse_gate

ON_REQUEST = {name for name, one in analyses().items() if one.on_request}
CAN_BE_LEFT_OUT = [name for name, one in analyses().items() if not (one.required or name in ON_REQUEST)]
PAIR = "compare B A --data beir:x --out o"


class Taken:
    """What a command hands on, instead of running it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.left_out: tuple[str, ...] = ()
        self.asked: tuple[str, ...] = ()

    def __call__(
        self,
        values: dict[str, Any],
        left_out: Mapping[str, str],
        options: RunOptions,
        output: OutputOptions | ReportOptions,
        asked: tuple[str, ...] = (),
        size: SizeOptions | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        self.values = {name: value for name, value in values.items() if value not in (None, {})}
        self.left_out, self.asked = tuple(left_out), asked
        self.options, self.output, self.size, self.gates = options, output, size, gates


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    taken = Taken()
    for command in ("compare", "retrieve", "probe", "neurons", "transplant"):
        monkeypatch.setattr(f"retroscope.cli.commands.{command}.carry_out_study", taken)
    return taken


def one(source: str, **load: object) -> dict[str, object]:
    return {"source": source, "query": None, "passage": None, "load": load}


def test_compare_with_nothing_but_what_it_needs(cli: Cli, taken: Taken) -> None:
    assert cli(line=PAIR).code == 0
    assert taken.values == {"before": one("B"), "after": one("A"), "data": {"source": "beir:x"}}
    assert taken.left_out == ()
    assert (str(taken.output.out), taken.output.dry_run, taken.output.overwrite) == ("o", False, False)
    assert (taken.options.settings, taken.options.cache) == (None, None)
    assert not taken.gates


def test_the_options_of_compare_are_settings(cli: Cli, taken: Taken) -> None:
    line = (
        "--also trec:y --also beir:z --training S1 --training S2 --margin .01 --name-before base --name-after mine "
        "--no-random-weights --measures RR@10,nDCG@10 --protocol ielab-2025 --interactions 3 --pooling mean "
        "--no-append-eos --split dev --limit-queries 9 --probes cosine,mdl --controls none --passages 2,3 --seeds 4 "
        "--settings s.yaml --set a.b=1 --set c=2 --cache v --overwrite --dry-run --json"
    )
    gates = ("RR@10 >= 0", "nDCG@10 on y > -.01")
    done = cli(*PAIR.split(), *(word for gate in gates for word in ("--gate", gate)), line=line)
    assert done.code == 0, done.err
    load = {"pooling": "mean", "append_eos": False}
    assert taken.values == {
        "before": one("B", **load, name="base"),
        "after": one("A", **load, name="mine"),
        "trainings": [one("S1", **load), one("S2", **load)],
        "also": [{"source": "trec:y"}, {"source": "beir:z"}],
        "data": {"source": "beir:x", "split": "dev", "limit_queries": 9},
        "protocol": "ielab-2025",
        "measures": ["RR@10", "nDCG@10"],
        "random_weights": False,
        "statistics.margin": 0.01,
        "transplants.interactions": 3,
        "probes.probes": ["cosine", "mdl"],
        "probes.controls": ["none"],
        "probes.passages": [2, 3],
        "probes.seeds": 4,
    }
    assert taken.gates == [parse_gate(gate) for gate in gates]
    assert taken.options.assignments == ["a.b=1", "c=2"]
    assert (str(taken.options.settings), str(taken.options.cache)) == ("s.yaml", "v")
    assert (taken.output.overwrite, taken.output.dry_run, taken.output.as_json) == (True, True, True)


@pytest.mark.parametrize("name", sorted(ON_REQUEST))
def test_every_analysis_on_request_is_asked_for_by_its_name(cli: Cli, taken: Taken, name: str) -> None:
    assert cli(line=f"{PAIR} --{name}").code == 0
    assert (taken.asked, taken.left_out) == ((name,), ())
    assert " ".join(analyses()[name].question.split()) in " ".join(cli(line="compare --help").out.split())


@pytest.mark.parametrize("name", CAN_BE_LEFT_OUT)
def test_every_analysis_that_can_be_left_out_has_a_switch(cli: Cli, taken: Taken, name: str) -> None:
    assert cli(line=f"{PAIR} {switch_of(analyses()[name])}").code == 0
    assert taken.left_out == (name,)
    assert " ".join(analyses()[name].question.split()) in " ".join(cli(line="compare --help").out.split())


def test_an_analysis_that_is_required_or_on_request_has_none(cli: Cli, taken: Taken) -> None:
    for name in set(analyses()) - set(CAN_BE_LEFT_OUT):
        done = cli(line=f"{PAIR} --no-{name}")
        assert (done.code, f"unknown option --no-{name}" in done.err) == (2, True)


def settings_of(kind: type, prefix: str) -> list[str]:
    """Every dotted setting of an analysis, however deep."""
    names = []
    for field in fields(kind):
        name, made_by = f"{prefix}.{field.name}", cast("object", field.default_factory)
        names.append(name)
        if isinstance(made_by, type) and is_dataclass(made_by):
            names += settings_of(made_by, name)
    return names


EVERY_SETTING = [
    (name, setting) for name in CAN_BE_LEFT_OUT for setting in settings_of(analyses()[name].settings(), name)
]


@pytest.mark.parametrize(("name", "setting"), EVERY_SETTING, ids=[setting for _, setting in EVERY_SETTING])
def test_a_setting_of_an_analysis_that_is_switched_off_is_refused(cli: Cli, name: str, setting: str) -> None:
    for switch in (f"--no-{name}", f"--set {name}=null"):
        done = cli(line=f"{PAIR} {switch} --set {setting}=9")
        assert done.code == 2
        assert (
            f"{setting}=9 has no effect with {switch}\n  fix: leave out the value of {setting}, or leave out {switch}"
            in done.err
        )


@pytest.mark.parametrize(
    ("switch", "option"),
    [
        ("compare B A --out o --no-transplants", "--interactions 3"),
        ("compare B A --out o --no-probes", "--probes cosine"),
        ("compare B A --out o --set probes=null", "--seeds 9"),
        ("compare B A --out o --set neurons.ablation=~", "--set neurons.ablation.draws=2"),
        ("neurons A --out o --no-ablation", "--fractions .1"),
        ("neurons A --out o --no-ablation", "--set neurons.ablation.draws=2"),
    ],
)
def test_an_option_of_what_is_switched_off_is_refused(cli: Cli, switch: str, option: str) -> None:
    done = cli(line=f"{switch} --data x {option}")
    assert done.code == 2
    assert f"has no effect with {switch.partition(' --out o ')[2]}" in done.err


def test_a_setting_of_what_a_command_does_not_measure_is_refused(cli: Cli) -> None:
    done = cli(line="retrieve A --data x --set probes.seeds=9")
    assert (done.code, "probes.seeds=9 has no effect: this command does not measure probes" in done.err) == (2, True)
    done = cli(line="neurons A --texts x --out o --fractions .1")
    assert (done.code, "neurons.ablation.fractions=[0.1] has no effect with --texts" in done.err) == (2, True)


def test_one_model_is_asked_what_its_command_asks(cli: Cli, taken: Taken) -> None:
    known = set(analyses())
    assert cli(line="retrieve A --data x").code == 0
    assert taken.values == {"after": one("A"), "data": {"source": "x"}, "random_weights": False}
    assert {"layers", "probes"} <= set(taken.left_out)
    assert taken.output.out is None
    assert cli(line="retrieve A --data x --layers --measures RR@10").code == 0
    assert "layers" not in taken.left_out
    assert taken.values["measures"] == ["RR@10"]
    assert cli(line="probe A --data x --seeds 2").code == 0
    assert taken.values == {"after": one("A"), "data": {"source": "x"}, "probes.seeds": 2}
    assert ("probes" in taken.left_out, "layers" in taken.left_out) == (False, True)
    assert set(taken.left_out) <= known


def test_the_options_of_neurons_are_settings(cli: Cli, taken: Taken) -> None:
    line = (
        "--tower query --target score --method conductance --quadrature gauss:4 --parts output --thresholds .1,.2 "
        "--batch-size 2 --examples 5 --memory 2KiB --precision tf32 --fractions .1,.3"
    )
    done = cli(line=f"neurons A --data x --out o {line}")
    assert done.code == 0, done.err
    assert {name: value for name, value in taken.values.items() if name.startswith("neurons.")} == {
        "neurons.attribution.tower": "query",
        "neurons.attribution.target": "score",
        "neurons.attribution.method": "conductance",
        "neurons.attribution.quadrature": "gauss:4",
        "neurons.attribution.parts": ["output"],
        "neurons.attribution.thresholds": [0.1, 0.2],
        "neurons.attribution.batch_size": 2,
        "neurons.attribution.limit": 5,
        "neurons.attribution.memory": 2048,
        "neurons.attribution.precision": "tf32",
        "neurons.ablation.fractions": [0.1, 0.3],
    }
    assert "neurons.ablation" not in taken.left_out
    assert cli(line="neurons A --data x --out o --no-ablation").code == 0
    assert taken.left_out[-1] == "neurons.ablation"
    for source, said in (("", "neither --data nor --texts is"), ("--data x --texts y", "both --data and --texts are")):
        done = cli(line=f"neurons A --out o {source}")
        assert (done.code, f"{said} given" in done.err) == (2, True)


def test_the_options_of_transplant_are_settings(cli: Cli, taken: Taken) -> None:
    line = "--transplants block:1,attention --groups 0 --passages 50 --interactions 2 --measures RR@10 --similarity dot"
    assert cli(line=f"transplant B A --data x {line}").code == 0
    assert taken.asked == ("transplants",)
    assert taken.values == {
        "before": one("B", similarity="dot"),
        "after": one("A", similarity="dot"),
        "data": {"source": "x"},
        "measures": ["RR@10"],
        "random_weights": False,
        "transplants.transplants": ["block:1", "attention"],
        "transplants.groups": 0,
        "transplants.passages": 50,
        "transplants.interactions": 2,
    }
    assert "transplants" not in taken.left_out
