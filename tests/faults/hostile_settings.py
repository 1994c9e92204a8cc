"""Hostile settings: every number outside its range, every list with duplicates, YAML that swells or never ends."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hostile_case import DEEP, LONG_NUMBER, Case, Cases, put
from hostile_models import ODD, odd

NUMBERS: dict[str, Any] = {
    "negative": -5, "huge": 10**30, "infinite": float("inf"), "less than infinite": float("-inf"), "not a number": float("nan"),
    "text": "abc", "list": [1], "true": True, "object": {},
}  # fmt: skip


def kinds() -> dict[str, tuple[type, dict[str, Any]]]:
    """Every settings class, with the values that it needs."""
    from retroscope.analyses import analyses
    from retroscope.collection.world.people import WorldSettings
    from retroscope.encoders.settings import LoadSettings
    from retroscope.inputs.settings import DataSettings, ModelSettings, NegativesSettings, StudySettings
    from retroscope.probing.options import ConcatTraining
    from retroscope.representations.settings import ExtractionSettings
    from retroscope.statistics.resampling.flips import SignFlips
    from retroscope.statistics.resampling.intervals import IntervalSettings
    from retroscope.statistics.settings import ComparisonSettings
    from retroscope.study.training.grid_settings import GridSettings
    from retroscope.study.training.settings import PretrainStudySettings, TrainStudySettings
    from retroscope.training.pretraining.settings import PretrainingSettings
    from retroscope.training.settings import LoraSettings, TrainingSettings

    data = DataSettings(source="x")
    own = [one.settings() for one in analyses().values()]
    inner = [t for kind in own if is_dataclass(kind) for hint in get_type_hints(kind).values()
             for t in (hint, *get_args(hint)) if is_dataclass(t)]  # fmt: skip
    plain = [StudySettings, LoadSettings, ModelSettings, NegativesSettings, ConcatTraining, ExtractionSettings, SignFlips,
             IntervalSettings, ComparisonSettings, TrainStudySettings, PretrainingSettings, LoraSettings, TrainingSettings,
             WorldSettings, *own, *inner]  # fmt: skip
    return {
        **{kind.__name__: (kind, {}) for kind in plain},
        "DataSettings": (DataSettings, {"source": "x"}),
        "GridSettings": (GridSettings, {"backbones": {"a": "b"}, "tests": (data,)}),
        "PretrainStudySettings": (PretrainStudySettings, {"shape": "bert-tiny", "tokenizer": "words", "data": data}),
    }


def numeric(hint: Any) -> bool:
    """Whether a type holds a number."""
    return hint in (int, float) or any(numeric(part) for part in get_args(hint) if not isinstance(part, list))


def listed(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(get_origin(part) is tuple for part in get_args(hint))


def number_fields() -> Iterator[tuple[str, type, dict[str, Any], str, bool, Any]]:
    """Every field of every settings class that holds a number: (class, needs, field, whether a list, default)."""
    for name, (kind, needs) in kinds().items():
        hints = get_type_hints(kind)
        for one in fields(kind):
            hint = hints[one.name]
            if numeric(hint) and not any(is_dataclass(part) for part in (hint, *get_args(hint))):
                default = one.default if one.default is not MISSING else None
                yield name, kind, needs, one.name, listed(hint), default


def of_numbers() -> Cases:
    for name, kind, needs, field, many, default in number_fields():
        for label, value in NUMBERS.items():
            given = (value,) if many else value
            yield Case(
                "settings",
                "number",
                f"{name}.{field} {label}",
                lambda folder, k=kind, v={**needs, field: given}: (k, v),
            )
        if many and default:
            twice = (default[0], *default)
            yield Case(
                "settings", "a value twice", f"{name}.{field}", lambda folder, k=kind, v={**needs, field: twice}: (k, v)
            )


def of_lists() -> Cases:
    doubles: dict[tuple[str, str], Any] = {
        ("SweepSettings", "transplants"): ("block 1", "block 1"), ("SweepSettings", "directions"): ("restored", "restored"),
        ("SweepSettings", "shares"): (0.5, 0.5), ("SweepSettings", "measures"): ("RR@10", "RR@10"),
        ("StudySettings", "measures"): ("RR@10", "RR@10"), ("ProbeSettings", "probes"): ("dot", "dot"),
        ("ProbeSettings", "controls"): ("none", "none"), ("ProbeSettings", "passages"): (2, 2), ("ProbeSettings", "layers"): (1, 1),
        ("ProbeSettings", "ridge"): (1.0, 1.0), ("AttributionSettings", "parts"): ("output", "output"),
        ("AttributionSettings", "thresholds"): (0.1, 0.1), ("AttributionSettings", "quantiles"): (0.5, 0.5),
        ("BaselineSettings", "poolings"): ("cls", "cls"), ("GridSettings", "seeds"): (1, 1), ("GridSettings", "labels"): (4, 4),
        ("LoraSettings", "targets"): ("query", "query"), ("ComparisonSettings", "family_per"): ("layer", "layer"),
        ("NeuronAblationSettings", "fractions"): (0.1, 0.1), ("NeuronAblationSettings", "measures"): ("RR@10", "RR@10"),
        ("NeuronAblationSettings", "parts"): ("output", "output"),
    }  # fmt: skip
    known = kinds()
    for (name, field), values in doubles.items():
        kind, needs = known[name]
        yield Case(
            "settings", "a value twice", f"{name}.{field}", lambda folder, k=kind, v={**needs, field: values}: (k, v)
        )
    for text in ("wordpiece:0", "wordpiece:99999999999", "bpe:-1", "bpe:²", "bpe:1e4", "bpe:", "words:abc", "no:5"):
        kind, needs = known["PretrainStudySettings"]
        refused = text != "bpe:"
        yield Case(
            "settings", "tokenizer size", text, lambda folder, k=kind, v={**needs, "tokenizer": text}: (k, v), refused
        )
    for shape in ("bert-0x128", "bert-99x99999", "bert-100x128", "bert-2x1", "bert", "-", "bert-²x128"):
        kind, needs = known["PretrainStudySettings"]
        yield Case("settings", "shape", shape, lambda folder, k=kind, v={**needs, "shape": shape}: (k, v))


def of_assignments() -> Cases:
    names = ["statistics.resamples", "statistics.seed", "statistics.margin", "data.limit_queries", "data.seed", "probes.seeds", "probes.rank",
             "extraction.batch_tokens", "neurons.attribution.limit", "neurons.ablation.draws", "transplants.passages", "baselines.folds",
             "representations.texts", "negatives.pool"]  # fmt: skip
    values = ["-5", ".inf", ".nan", "-.inf", "10000000000000000000000", "abc", "[1]", "{a: 1}", "true", "1.5", "1e999", LONG_NUMBER,
              "2001-99-99", "1:30", "!!python/object/apply:os.system [id]", "*a", "&a [*a]", "'", "[", DEEP, "\x1b", "? [a]", "!!binary x",
              "!!int x", "!!timestamp x", "<<: 1", "0x", "\x00", "x" * 10**6, "{<<: [1]}", "!!set {a, b}", "!!omap [a]"]  # fmt: skip
    for name in names:
        for number, value in enumerate(values):
            texts = [f"data.source=x {name}"] if name.startswith("data.") and not value else []
            assignments = [*(["data.source=x"] if name.startswith("data.") else []), *texts, f"{name}={value}"]
            harmless = value == "1:30" or (value == "1.5" and name == "statistics.margin")
            yield Case(
                "--set", "value", f"{name} {number} {value[:12]!r}", lambda folder, a=assignments: a, not harmless
            )
    for number, text in enumerate(["=", "a", "a=", "=1", ".=1", "a..b=1", "no.such=1", "analyses=1", "probes=3", "data=x", "before=[1]",
                                   "measures=RR@10", "measures=[RR@0]", "measures=[RR@-1]", "measures=[nDCG@99999999999]", "measures=[no]",
                                   "measures=[" + "(" * 1000 + "]", "\x1b=1", "x" * 10**6, "a." * 10**5 + "a=1", "trainings={a: 1}", "probes.probes=[1]",
                                   "statistics.headline=[a]", "statistics.headline=5", "data.columns={a: [b]}", "data.columns=5",
                                   "probes.layers=[-1]", "neurons.attribution.quadrature=gauss:99999999", "measures=[RR@10,RR@10]",
                                   "neurons.attribution.quadrature=auto:nan", "neurons.attribution.quadrature=midpoint:0",
                                   "neurons.attribution.quadrature=auto:1e-300:999999999", "neurons.attribution.quadrature=trapezoid:-1",
                                   "transplants.transplants=[block 1, block 1]", "transplants.transplants=[no such]",
                                   "transplants.transplants=[blocks 1-999999999999]", "transplants.transplants=[" + "x" * 5000 + "]"]):  # fmt: skip
        yield Case("--set", "assignment", f"{number} {text[:20]!r}", lambda folder, text=text: [text])


def of_files() -> Cases:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(9)
    )
    merges = "a: &a {x: 1}\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [{','.join(['*' + chr(97 + n)] * 10)}]}}\n" for n in range(9)
    )
    texts: dict[str, bytes] = {
        "laughs": laughs.encode(), "merges that laugh": merges.encode(), "itself": b"a: &a [*a]", "itself, merged": b"a: &a {<<: *a}",
        "deep": DEEP.encode(), "deep mappings": b"{a: " * 20_000, "long number": f"a: {LONG_NUMBER}".encode(), "a list": b"[1]",
        "a number": b"3", "text": b"abc", "empty": b"", "null": b"null", "not UTF-8": b"a: \xff", "code": b"a: !!python/object/apply:os.system [id]",
        "unknown tag": b"a: !x 1", "a bad date": b"a: 2001-99-99", "two documents": b"a: 1\n---\nb: 2", "tabs": b"a:\n\t- 1", "repeated": b"a: 1\na: 2",
        "control": b"a: \x1b[31m", "NUL": b"a: \x00", "a list as key": b"? [a]\n: 1", "a mapping as key": b"? {a: 1}\n: 1", "a number as key": b"1: 2",
        "null as key": b"~: 2", "large": b"# " + b"x" * 2**21, "many": b"a: [" + b"1," * 2**20 + b"]", "binary": b"a: !!binary x", "set": b"a: !!set {1, 2}",
        "an alias that lacks": b"a: *no", "a date as key": b"2001-01-01: 1", "zeros": bytes(5000), "unknown name": b"no_such: 1", "wrong group": b"data: 5",
        "a group of lists": b"data: [1, 2]", "an unfinished text": b'a: "', "an anchor twice": b"a: &a 1\nb: &a 2", "UTF-16": "a: 1".encode("utf-16"),
        "a long key": b"x" * 10**5 + b": 1", "quotes": b"'" * 50_000, "percent": b"%TAG ! x\n", "a bomb of tags": b"a: " + b"!!str " * 10_000,
    }  # fmt: skip
    for name, data in texts.items():
        yield Case("settings file", "YAML", name, lambda folder, data=data: put(folder / "s.yaml", data))
    for kind in ODD:
        yield Case(
            "settings file",
            "no regular file",
            kind,
            lambda folder, kind=kind: (odd(kind, folder / "s"), folder / "s")[1],
        )
    for name, text in {
        "long": "x" * 5000,
        "NUL": "a\0b",
        "a folder": "/etc",
        "a device": "/dev/zero",
        "lacks": "/no/such",
    }.items():
        yield Case("settings file", "name", name, lambda folder, text=text: Path(text))


def settings_cases() -> Cases:
    """Every hostile setting."""
    for group in (of_numbers, of_lists, of_assignments, of_files):
        yield from group()
