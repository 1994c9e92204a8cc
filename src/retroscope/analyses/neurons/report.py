"""Report the attributed neurons of one or two models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.neurons.data_tables import by_prefix, large_frames, neuron_frames
from retroscope.analyses.neurons.result import (
    PUBLISHED,
    AblationCurves,
    AttributedModel,
    HeatMap,
    NeuronResult,
    TowerNeurons,
)
from retroscope.analyses.neurons.stored import PLAN, attributed, overlap_of
from retroscope.analyses.neurons.tables import narrow_ablation, neuron_tables
from retroscope.analyses.neurons.words import all_statements
from retroscope.analyses.section import Reading, Section
from retroscope.attribution.result import NeuronAttribution
from retroscope.attribution.settings import BOTH, BOTH_TOWERS
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.files.documents import clean, ordered
from retroscope.number_format import count
from retroscope.statistics.comparison import compare_scores
from retroscope.typesetting.charts.figure import Figure
from retroscope.typesetting.documents import effect_records, mean_records
from retroscope.typesetting.frames import alpha
from retroscope.typesetting.subject import AFTER, BEFORE, MODEL

ASKED = ("target", "tower", "method", "quadrature")  # of an attribution's recipe
NAMED = 20  # neurons that the document of one model names
# pooling -> what the published files call it
ENCODER_TYPES = {"cls": "CLS", "pooler": "CLS", "mean": "mean", "last_column": "eos", "last_token": "eos"}


def infer(measurements: Sequence[Measurement], reading: Reading) -> NeuronResult | None:
    """Compare the neurons of both models, paired by query, in each encoder (tower); None if nothing was measured.

    The tests of one statistic are one family.
    """
    if not measurements:
        return None
    measurement, subject = measurements[0], reading.subject
    # the margin of equivalence is one of retrieval measures and accuracies
    settings = replace(subject.paired_statistics, family_per=("statistic",), margin=None)
    towers: dict[str, TowerNeurons] = {}
    sides_of = attributed(measurement)
    for tower, sides in sides_of.items():
        before, after = (sides[side].attribution for side in (BEFORE, AFTER))
        towers[tower] = TowerNeurons(
            {side: sides[side] for side in (BEFORE, AFTER)},
            compare_scores(before.scores, after.scores, settings),
            overlap_of(measurement, tower),
            heat_map(subject.protocol, before),
            tower if len(sides_of) > 1 else "",
        )
    return NeuronResult(towers)


def heat_map(protocol: str, attribution: NeuronAttribution) -> HeatMap:
    """Return the layout of the heat map that the protocol prescribes: the drawn value, and the bins of neurons.

    The published layout needs activity counts at its threshold. If the attribution has none there, the layout uses the
    largest threshold that was counted.
    """
    if protocol != PUBLISHED_PROTOCOL:
        return HeatMap()
    return (
        PUBLISHED if PUBLISHED.value in attribution.thresholds else replace(PUBLISHED, value=attribution.thresholds[-1])
    )


def report(result: NeuronResult, reading: Reading) -> Section:
    """Return the report's section about the neurons of two compared models.

    Statements with reasons to doubt them are in `unconfirmed`.
    """
    every = all_statements(result)
    profiles = {
        f"Neurons, {tower.label} tower" if prefix else "Neurons": tower.profile for prefix, tower in by_prefix(result)
    }
    return replace(
        _section(result),
        statements=tuple(s for s in every if not s.doubts),
        unconfirmed=tuple(s for s in every if s.doubts),
        # their warnings are among the statements
        methods={label: {**d.method, "alpha": alpha(d)} for label, d in profiles.items() if d is not None},
        document={name: _tower_document(tower) for name, tower in result.towers.items()},
        left_out={
            f"neurons of the {tower} tower": f"--set neurons.attribution.tower={BOTH}"
            for tower in BOTH_TOWERS
            if tower not in result.towers
        },
    )


def alone(measurement: Measurement, reading: Reading) -> Section:
    """Return the report's section about a single model's neurons.

    Under the protocol ielab-2025, it comes with files of activity counts in the published layout.
    """
    result = _result_of_one(measurement, reading)
    tower, side = result.main, result.main.sides[MODEL]
    narrow = narrow_ablation(tower)
    files: Mapping[str, Any] = {}
    if reading.subject.protocol == PUBLISHED_PROTOCOL:
        files = published_files(side.attribution)
    section = _section(result)
    return replace(
        section,
        statements=tuple(all_statements(result)),
        tables={**section.tables, "neuron_ablation_narrow": narrow},
        head=_asked(side.attribution),
        printed=() if narrow.frame.empty else ("neuron_ablation_narrow",),
        document={
            "plan": measurement.facts[PLAN],
            **_side_document(side),
            "statistics": mean_records(side.attribution.scores, reading.subject.statistics),
            "top": _largest_shares(side.attribution),
        },
        files=files,
    )


def _result_of_one(measurement: Measurement, reading: Reading) -> NeuronResult:
    ((tower, sides),) = attributed(measurement).items()
    layout = heat_map(reading.subject.protocol, sides[MODEL].attribution)
    return NeuronResult({tower: TowerNeurons(sides, heat_map=layout)})


def _section(result: NeuronResult) -> Section:
    return Section(
        draw=lambda: _figures(result),
        tables=neuron_tables(result),
        frames=neuron_frames(result),
        large=large_frames(result),
        values={"towers": by_prefix(result)},
    )


def _tower_document(tower: TowerNeurons) -> dict[str, Any]:
    return {
        **{name: _side_document(side) for name, side in tower.sides.items()},
        "differences": effect_records(tower.profile),
        "overlap": [] if tower.overlap is None else tower.overlap.to_dict(orient="records"),
    }


def _side_document(side: AttributedModel) -> dict[str, Any]:
    attribution = side.attribution
    return {
        "examples": attribution.examples,
        "noise": attribution.noise,
        "recipe": ordered(attribution.recipe),
        "warnings": list(attribution.warnings),
        "ablation": None if side.ablation is None else _ablation_document(side.ablation),
    }


def _ablation_document(ablation: AblationCurves) -> dict[str, Any]:
    return {
        "confirmed_at": list(ablation.fractions_where("confirmed")) if ablation.confirms else [],
        "table": ablation.table.to_dict(orient="records"),
        "areas": ablation.areas.to_dict(orient="records"),
        "recipe": ordered(ablation.recipe),
        "warnings": list(ablation.warnings),
    }


def _asked(attribution: NeuronAttribution) -> tuple[str, str]:
    """Return two lines for the head of the report: how many examples were attributed, and with which settings."""
    choices = ", ".join(f"{name}: {dict(attribution.recipe)[name]}" for name in ASKED if name in attribution.recipe)
    few = f"{attribution.noise} of them noise (the target changes by no more than rounding)"
    return f"{count(attribution.examples, 'example')}, {few}", choices


def _largest_shares(attribution: NeuronAttribution) -> list[dict[str, Any]]:
    """Return the `NAMED` neurons with the largest mean share, the largest first, as JSON-like values.

    A share is the magnitude of a neuron's attribution, divided by the largest magnitude in the same example. Each item
    has the neuron's part, layer and index, and three means over examples: of its share, of its attribution with sign
    ("signed") and of its magnitude ("mean").
    """
    rows: list[dict[str, Any]] = []
    for part, neurons in attribution.neurons.items():
        table = neurons[["signed", "mean", "share"]].to_dataframe().reset_index()
        rows += [{"part": part, **row} for row in table.nlargest(NAMED, "share").to_dict(orient="records")]
    return [clean(row) for row in sorted(rows, key=lambda row: -row["share"])[:NAMED]]


def published_files(attribution: NeuronAttribution) -> dict[str, dict[str, Any]]:
    """Return file name -> how often each neuron is active, in the layout of the published study (arXiv 2505.07166).

    There is one file for each threshold. In a file, each FFN matrix has a key, e.g. `layer_0_intermediate` for the
    first block.
    """
    pooling = attribution.recipe["recipe"]["pooling"]
    files = {}
    for threshold in attribution.recipe["thresholds"]:
        counts = {
            f"layer_{layer - 1}_{part}": neurons["count"].sel(threshold=threshold, layer=layer).values.tolist()
            for layer in attribution.scores.values.coords["layer"].values.tolist()
            for part, neurons in attribution.neurons.items()
        }
        files[f"neurons-{threshold:g}.json"] = {
            "model": attribution.recipe["model"],
            "encoder_type": ENCODER_TYPES.get(pooling, pooling),
            "alpha": 20,
            "threshold": threshold,
            "attributions": counts,
        }
    return files


def _figures(result: NeuronResult) -> tuple[Figure, ...]:
    """Draw the figures. Their slow libraries are imported only here, because a terminal shows no figures."""
    from retroscope.analyses.neurons.figures import neuron_figures

    return neuron_figures(result)


REPORTER = Reporter(infer, report, alone)
