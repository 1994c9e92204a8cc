"""Trials of a reproduction (one model on one data set under one protocol), as command lines and as settings. No torch.

A test parses the command lines with the real command-line parser, and checks that the settings are the same.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retroscope.errors import unknown_name
from retroscope.reproduction.published import NEURONS, PROBES, PublishedFigure, PublishedModel, PublishedStudy

PUBLISHED, CORRECTED = "ielab-2025", "default"  # protocols
SMOKE, FULL = "smoke", "full"
POOLINGS = {"cls": "cls", "mean": "mean", "eos": "last_token"}  # the paper's word -> ours
SIMILARITY = "dot"  # that all of the paper's retrievers were trained with


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of a published study is measured: limits on queries, examples and seeds.

    Attributes:
        name: "smoke" (tiny made-up models and data) or "full" (the paper's).
        limit_queries: number of questions that are drawn at random from a data set. If None, all questions.
        examples: protocol -> number of texts or queries whose neurons are attributed.
        seeds: number of splits of the probes. If None, the default of the settings.
        device: device that models run on.
        assignments: other settings, e.g. "statistics.resamples=200".
    """

    name: str
    limit_queries: int | None
    examples: Mapping[str, int]
    seeds: int | None = None
    device: str = "cpu"
    assignments: tuple[str, ...] = ()


SCALES = {
    SMOKE: Scale(
        name=SMOKE, limit_queries=None, examples={PUBLISHED: 6, CORRECTED: 6}, seeds=1,
        assignments=("statistics.resamples=200", "statistics.permutations=200"),
    ),
    FULL: Scale(name=FULL, limit_queries=None, examples={PUBLISHED: 1000, CORRECTED: 256}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelTrial:
    """One measurement of a reproduction: one model on one data set under one protocol.

    Attributes:
        kind: what is measured, "probes" or "neurons".
        data, model: names of the data set and the model in the published study.
        protocol: "ielab-2025" or "default".
        tower: tower whose neurons are attributed, or "" for probes.
    """

    kind: str
    data: str
    model: str
    protocol: str
    tower: str = ""

    @property
    def name(self) -> str:
        """Return the name of the trial's folder, such as "probes-nq-contriever-default"."""
        parts = (self.kind, self.data, self.model, self.tower, self.protocol)
        return "-".join(part for part in parts if part)


def scale_named(name: str, *, limit_queries: int | None = None, device: str = "cpu") -> Scale:
    """Return how much of a study is measured ("smoke" or "full"), with the user's device and limit on queries.

    Raises:
        SettingsError: if no scale has that name.
    """
    if name not in SCALES:
        raise unknown_name("scale", name, SCALES)
    scale = SCALES[name]
    return Scale(
        name=name,
        limit_queries=scale.limit_queries if limit_queries is None else limit_queries,
        examples=scale.examples,
        seeds=scale.seeds,
        device=device,
        assignments=scale.assignments,
    )


def trials_of(study: PublishedStudy, figures: Sequence[PublishedFigure]) -> list[ModelTrial]:
    """Return the measurements (trials) that the figures need, each once, those under the published protocol first."""
    by_name = {
        trial.name: trial
        for protocol in (PUBLISHED, CORRECTED)
        for figure in figures
        for model in figure.models
        for trial in [ModelTrial(kind=figure.kind, data=figure.data, model=model, protocol=protocol,
                                 tower=figure.tower)]
    }  # fmt: skip
    return list(by_name.values())


def command(study: PublishedStudy, trial: ModelTrial, scale: Scale, data: str, out: str) -> list[str]:
    """Return the words of the shell command that makes one measurement (trial).

    The command is `retroscope probe` or `retroscope neurons`.

    Args:
        data: folder of the data set's parquet files.
        out: folder to write to.
    """
    model = study.models[trial.model]
    words = ["retroscope", "probe" if trial.kind == PROBES else "neurons", model.argument]
    words += ["--data", f"hf:{data}", "--split", study.data[trial.data].splits[trial.kind]]
    words += ["--pooling", POOLINGS[model.pooling], "--similarity", SIMILARITY, "--protocol", trial.protocol]
    words += _recipe_words(model, trial.protocol)
    words += _probe_words(study, trial, model, scale) if trial.kind == PROBES else _neuron_words(trial, model, scale)
    words += ["--device", scale.device] if scale.device != "cpu" else []
    for assignment in scale.assignments:
        words += ["--set", assignment]
    return [*words, "--out", out]


def as_typed_line(words: Sequence[str]) -> str:
    """Return the words of a command as one line for a shell, quoted where necessary."""
    return shlex.join(words)


def trial_values(study: PublishedStudy, trial: ModelTrial, scale: Scale, data: str) -> dict[str, Any]:
    """Return the settings of one measurement (trial) as nested values, without the defaults of its protocol.

    Args:
        data: folder of the data set's parquet files.
    """
    model = study.models[trial.model]
    towers = {"query": model.query, "passage": model.source} if model.query else {"source": model.source}
    load: dict[str, Any] = {"pooling": POOLINGS[model.pooling], "similarity": SIMILARITY}
    load |= {"device": scale.device} if scale.device != "cpu" else {}
    load |= _recipe_values(model, trial.protocol)
    split = study.data[trial.data].splits[trial.kind]
    values: dict[str, Any] = {
        "after": {**towers, "load": load},
        "data": {"source": f"hf:{data}", "split": split},
        "protocol": trial.protocol,
        "statistics": _assigned(scale.assignments, "statistics"),
    }
    own = _probe_values(study, trial, model, scale) if trial.kind == PROBES else _neuron_values(trial, model, scale)
    return {**values, **own}


def _assigned(assignments: Sequence[str], section: str) -> dict[str, int]:
    """Return the assigned settings of one section, e.g. {"resamples": 200} of "statistics.resamples=200"."""
    pairs = (assignment.partition("=")[::2] for assignment in assignments)
    return {name.removeprefix(f"{section}."): int(value) for name, value in pairs if name.startswith(f"{section}.")}


def _recipe_values(model: PublishedModel, protocol: str) -> dict[str, Any]:
    """Return the recipe fields that a model's checkpoint does not record; empty under the published protocol."""
    if model.pooling != "eos" or protocol == PUBLISHED:
        return {}
    return {"query_prompt": "query: ", "passage_prompt": "passage: ", "append_eos": True}


def _recipe_words(model: PublishedModel, protocol: str) -> list[str]:
    values = _recipe_values(model, protocol)
    prompts = [("--query-prompt", "query_prompt"), ("--passage-prompt", "passage_prompt")]
    words = [word for option, name in prompts if name in values for word in (option, str(values[name]))]
    return [*words, "--append-eos"] if values.get("append_eos") else words


def _controls(trial: ModelTrial, model: PublishedModel) -> list[str]:
    """Return the controls of a trial's probes.

    "random_weights" is among them only if the published numbers may come from random weights.
    """
    at_random = ["random_weights"] if model.published_at_random and trial.protocol == PUBLISHED else []
    return ["none", "shuffled_queries", *at_random]


def _probes(trial: ModelTrial) -> list[str]:
    """Return the probes of a trial. `passage_only` is the published probe, but trained to convergence."""
    return ["concat", "passage_only"] if trial.protocol == PUBLISHED else [SIMILARITY, "passage_only", "elementwise"]


def _probe_values(study: PublishedStudy, trial: ModelTrial, model: PublishedModel, scale: Scale) -> dict[str, Any]:
    controls = _controls(trial, model)
    probes: dict[str, Any] = {"probes": _probes(trial), "controls": controls, "passages": list(study.passages)}
    probes |= {} if scale.seeds is None else {"seeds": scale.seeds}
    return {"random_weights": "random_weights" in controls, PROBES: probes}


def _probe_words(study: PublishedStudy, trial: ModelTrial, model: PublishedModel, scale: Scale) -> list[str]:
    controls = _controls(trial, model)
    words = ["--probes", ",".join(_probes(trial)), "--controls", ",".join(controls)]
    words += ["--passages", ",".join(map(str, study.passages))]
    words += [] if scale.seeds is None else ["--seeds", str(scale.seeds)]
    return [*words, "--set", "random_weights=true"] if "random_weights" in controls else words


def _neuron_values(trial: ModelTrial, model: PublishedModel, scale: Scale) -> dict[str, Any]:
    attribution: dict[str, Any] = {"tower": trial.tower, "limit": scale.examples[trial.protocol]}
    attribution |= {"thresholds": [model.threshold]}
    return {"random_weights": False, NEURONS: {"attribution": attribution, "ablation": None}}


def _neuron_words(trial: ModelTrial, model: PublishedModel, scale: Scale) -> list[str]:
    words = ["--tower", trial.tower, "--examples", str(scale.examples[trial.protocol])]
    return [*words, "--thresholds", f"{model.threshold:g}", "--no-ablation"]
