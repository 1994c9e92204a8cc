"""Values of each block, or part of all blocks, by several measurements (instruments): weight drift, CKA, probes ...

A larger value means a larger change. For each instrument there is one function, which takes the values from the result
of another analysis. An instrument that is tested by layer has no values if its effect is significant at no layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from retroscope.analyses.layers.result import LayerResult
from retroscope.analyses.localisation.result import BLOCKS, EVIDENCE_COLUMNS, PARTS
from retroscope.analyses.neurons.result import SHARE, NeuronResult
from retroscope.analyses.probes.result import ProbesResult
from retroscope.analyses.representations.result import RepresentationResult
from retroscope.analyses.section import Reading
from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.analyses.weights.result import WeightResult
from retroscope.surgery.transplant import GRAFTED, RESTORED
from retroscope.surgery.transplant import PARTS as PARTS_OF
from retroscope.typesetting.frames import alpha, rows
from retroscope.typesetting.subject import AFTER

HIDDEN = "intermediate"  # the neurons that are attributed and ablated unless others are asked for
OUTSIDE = ("embedding", "final_norm", "other")  # parts of the weights that belong to no block
BlockValues = Sequence[float]  # one a place


@dataclass(frozen=True)
class Place:
    """One block, or neighbouring blocks, with the name of the transplant that moves them together."""

    name: str
    first: int
    last: int


def evidence_of(reading: Reading, effects: TransplantEffects) -> pd.DataFrame:
    """Return the value of each block (or part of all blocks) by each instrument, such as CKA, one value in each row.

    The columns are `EVIDENCE_COLUMNS`. Blocks have rows only if at least two places were transplanted, parts only if at
    least two parts were transplanted and the weights were compared.
    """
    records = [*_of_blocks(reading, effects), *_of_parts(reading, effects)]
    return pd.DataFrame(records, columns=list(EVIDENCE_COLUMNS))


def neurons_confirmed(reading: Reading) -> bool | None:
    """Return whether an ablation confirms that retrieval uses the top neurons, or None if no neurons were ablated."""
    neurons = reading.result("neurons", NeuronResult)
    ablation = None if neurons is None else neurons.main.sides[AFTER].ablation
    return None if ablation is None else ablation.confirms


def _of_blocks(reading: Reading, effects: TransplantEffects) -> Iterator[dict[str, Any]]:
    places = _places(effects)
    if len(places) < 2:
        return
    sign = _sign(effects)
    by_instrument: dict[str, BlockValues | None] = {
        "weights": weights_of_blocks(reading, places),
        "representations": representations_of_blocks(reading, places),
        "probes": probes_of_blocks(reading, places, sign),
        "layers": layers_of_blocks(reading, places, sign, effects.measures[0]),
        "neurons": neurons_of_blocks(reading, places),
        **{direction: _alone(effects, direction, [p.name for p in places]) for direction in effects.differences},
    }
    for instrument, values in by_instrument.items():
        for place, value in zip(places, values, strict=True) if values is not None else ():
            yield {"kind": BLOCKS, "instrument": instrument, "place": place.name, "first": place.first,
                   "last": place.last, "value": float(value)}  # fmt: skip


def _of_parts(reading: Reading, effects: TransplantEffects) -> Iterator[dict[str, Any]]:
    """Yield the drift of weights and the effects of transplants for each part (attention, FFN ...) of all blocks."""
    tried = set(effects.headline(next(iter(effects.differences)))["transplant"])
    names = [name for name in PARTS_OF if name in tried]
    weights = reading.result("weights", WeightResult)
    if weights is None or len(names) < 2:
        return
    groups = _groups(weights)
    by_instrument = {"weights": [_relative(groups[groups["part"].isin(PARTS_OF[name])]) for name in names]}
    by_instrument |= {direction: _alone(effects, direction, names) for direction in effects.differences}
    for instrument, values in by_instrument.items():
        for name, value in zip(names, values, strict=True):
            yield {"kind": PARTS, "instrument": instrument, "place": name, "first": 0, "last": effects.n_blocks,
                   "value": float(value)}  # fmt: skip


def _places(effects: TransplantEffects) -> list[Place]:
    """Return the blocks, or groups of blocks, that were transplanted one at a time, from the lowest to the highest."""
    places = []
    for name in effects.headline(next(iter(effects.differences)), "block")["transplant"]:
        first, dash, last = str(name).partition(":")[2].partition("-")
        places.append(Place(str(name), int(first), int(last if dash else first)))
    return sorted(places, key=lambda place: place.first)


def _sign(effects: TransplantEffects) -> float:
    """Return -1 if fine-tuning lowers the headline measure, so that decreases count as effects, or 1 otherwise."""
    for direction, towards in ((GRAFTED, 1.0), (RESTORED, -1.0)):
        if direction in effects.differences:
            total = effects.headline(direction).set_index("transplant").loc["all", "effect"]
            return -1.0 if towards * total < 0 else 1.0
    return 1.0


def weights_of_blocks(reading: Reading, places: Sequence[Place]) -> BlockValues | None:
    """Return the relative change of the weights of each place (neighbouring blocks), over all encoders."""
    weights = reading.result("weights", WeightResult)
    if weights is None:
        return None
    inside = _groups(weights)
    inside = inside[~inside["part"].isin(OUTSIDE)]
    return [_relative(inside[inside["layer"].between(place.first, place.last)]) for place in places]


def _groups(weights: WeightResult) -> pd.DataFrame:
    return pd.concat([drift.groups for drift in weights.by_tower.values()])


def _relative(groups: pd.DataFrame) -> float:
    before = float((groups["norm"] ** 2).sum())
    return float(np.sqrt((groups["change"] ** 2).sum() / before)) if before else float("nan")


def representations_of_blocks(reading: Reading, places: Sequence[Place]) -> BlockValues | None:
    """Return how much the CKA between both models falls across each place (neighbouring blocks), mean over encoders.

    At layer 0, CKA is undefined if all texts have the same vector (e.g. that of EOS). It then counts as 1.
    """
    representations = reading.result("representations", RepresentationResult)
    if representations is None:
        return None
    similarity = representations.first.drift.similarity
    cka = similarity[similarity["statistic"] == "cka"]
    alike = cka["value"].where(cka["layer"] > 0, cka["value"].fillna(1.0))
    by_layer = cka.assign(value=alike).groupby("layer")["value"].agg(lambda v: v.mean(skipna=False))
    return [-rise for rise in _rises(by_layer, places)]


def probes_of_blocks(reading: Reading, places: Sequence[Place], sign: float) -> BlockValues | None:
    """Return how much the effect of fine-tuning on the similarity probe rises across each place (neighbouring blocks).

    Return None if that effect is significant at no layer.
    """
    probes = reading.result("probes", ProbesResult)
    if probes is None or probes.effect is None:
        return None
    table = probes.similarity_rows()
    if not (table["p_corrected"] < alpha(probes.effect)).any():
        return None
    return [sign * rise for rise in _rises(table.set_index("layer")["effect"], places)]


def layers_of_blocks(reading: Reading, places: Sequence[Place], sign: float, measure: str) -> BlockValues | None:
    """Return how much the effect of fine-tuning on retrieval by layer rises across each place (neighbouring blocks).

    Return None if that effect is significant at no layer.

    Args:
        measure: the retrieval measure of the transplants. If it was not computed by layer, the first measure of the
            study is used.
    """
    layers = reading.result("layers", LayerResult)
    if layers is None:
        return None
    effect = layers.first.effect
    table = rows(effect, measure=measure)
    table = rows(effect, measure=reading.subject.measures[0]) if table.empty else table
    if not (table["p_corrected"] < alpha(effect)).any():
        return None
    return [sign * rise for rise in _rises(table.set_index("layer")["effect"], places)]


def neurons_of_blocks(reading: Reading, places: Sequence[Place]) -> BlockValues | None:
    """Return the share of each place (neighbouring blocks) in the attribution of the main encoder's hidden neurons."""
    neurons = reading.result("neurons", NeuronResult)
    hidden = None if neurons is None else neurons.main.sides[AFTER].attribution.neurons.get(HIDDEN)
    if hidden is None:
        return None
    by_layer = hidden[SHARE].sum("neuron").to_series().groupby("layer").sum()
    total = float(by_layer.sum())
    inside = [(by_layer.index >= place.first) & (by_layer.index <= place.last) for place in places]
    return [float(by_layer[some].sum()) / total for some in inside]


def _rises(by_layer: "pd.Series[Any]", places: Sequence[Place]) -> list[float]:
    """Return, for each place (neighbouring blocks), how much a value by layer rises across it."""
    known = by_layer.to_dict()
    return [known.get(place.last, np.nan) - known.get(place.first - 1, np.nan) for place in places]


def _alone(effects: TransplantEffects, direction: str, names: Sequence[str]) -> list[float]:
    """Return the share of the total effect that each transplant has alone.

    A share is negative if the transplant has the opposite effect. Shares are NaN if the total effect is not
    significant.
    """
    return [effects.share(direction, name)["share"] for name in names]
