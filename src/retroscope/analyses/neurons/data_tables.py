"""Tables of unformatted numbers about neurons, which the report writes as files."""

from collections.abc import Callable

import pandas as pd

from retroscope.analyses.neurons.bins import map_rows
from retroscope.analyses.neurons.frames import (
    LAYER_SHARE,
    ablation_rows,
    activity_effect,
    activity_rows,
    completeness_rows,
    effect_rows,
    layer_activity,
    neuron_rows,
    profile_rows,
)
from retroscope.analyses.neurons.result import AblationCurves, NeuronResult, TowerNeurons
from retroscope.typesetting.frames import rows


def profile_table(tower: TowerNeurons) -> pd.DataFrame:
    """Return the statistics of the attribution, e.g. its Gini index: a row for each statistic, FFN matrix and layer.

    For two models, a row has the difference of a statistic and its tests. For one, it has the mean and its interval.
    """
    if tower.profile is not None:
        shares = effect_rows(tower, LAYER_SHARE).assign(statistic=LAYER_SHARE)
        return pd.concat([rows(tower.profile), shares], ignore_index=True)
    (profile,) = tower.attributions.values()
    names = [LAYER_SHARE, *map(str, profile.scores.values.coords["statistic"].values)]
    return pd.concat([profile_rows(tower, name).assign(statistic=name) for name in names], ignore_index=True)


def threshold_table(tower: TowerNeurons) -> pd.DataFrame:
    """Return the share of the neurons that are active, with a row for each FFN matrix and threshold.

    The share is over all layers. For two models, a row has the difference and its tests.
    """
    paired = activity_effect(tower)
    return activity_rows(tower) if paired is None else paired


def overlap_table(tower: TowerNeurons) -> pd.DataFrame:
    """Return how far both models' neurons agree, as the table `TowerNeurons.overlap`; empty if it was not measured."""
    return pd.DataFrame() if tower.overlap is None else tower.overlap.copy()


def ablation_points(tower: TowerNeurons) -> pd.DataFrame:
    """Return the points of the ablation curves: retrieval of each model with each set of neurons fixed."""
    return _by_side(tower, ablation_rows)


def ablation_harm(tower: TowerNeurons) -> pd.DataFrame:
    """Return retrieval with top neurons and with control neurons fixed: a row for each model, fraction and measure."""
    return _by_side(tower, lambda ablation: ablation.table)


def ablation_areas(tower: TowerNeurons) -> pd.DataFrame:
    """Return the area of each ablation curve below that of random neurons: a row for each model, curve and measure."""
    return _by_side(tower, lambda ablation: ablation.areas)


def _by_side(tower: TowerNeurons, rows_of: Callable[[AblationCurves], pd.DataFrame]) -> pd.DataFrame:
    frames = [rows_of(ablation).assign(side=name) for name, ablation in tower.ablations.items()]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def map_table(tower: TowerNeurons) -> pd.DataFrame:
    """Return the values of the heat maps: a row for each FFN matrix, map, layer and bin of neurons.

    A map is a model, or the difference between two.
    """
    frames = [map_rows(tower, part) for part in tower.parts]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


FRAMES: dict[str, Callable[[TowerNeurons], pd.DataFrame]] = {
    "neuron_profile": profile_table,
    "neuron_thresholds": threshold_table,
    "neuron_thresholds_by_layer": layer_activity,
    "neuron_overlap": overlap_table,
    "neuron_ablation": ablation_harm,
    "neuron_ablation_curves": ablation_points,
    "neuron_ablation_areas": ablation_areas,
    "neuron_completeness": completeness_rows,
    "neuron_maps": map_table,
}
# One row a neuron is too much for text: parquet only.
LARGE_FRAMES: dict[str, Callable[[TowerNeurons], pd.DataFrame]] = {"neurons": neuron_rows}


def neuron_frames(result: NeuronResult) -> dict[str, pd.DataFrame]:
    """Return all tables of unformatted numbers about neurons by their names, for each encoder (tower)."""
    return {f"{prefix}{name}": make(tower) for prefix, tower in by_prefix(result) for name, make in FRAMES.items()}


def large_frames(result: NeuronResult) -> dict[str, pd.DataFrame]:
    """Return the tables with one row for each neuron by their names, for each encoder (tower)."""
    return {
        f"{prefix}{name}": make(tower) for prefix, tower in by_prefix(result) for name, make in LARGE_FRAMES.items()
    }


def by_prefix(result: NeuronResult) -> list[tuple[str, TowerNeurons]]:
    """Return the results about each encoder (tower), with the prefix of the names of their tables and figures.

    The prefix of the first encoder is "".
    """
    return [(f"{name}_" if number else "", tower) for number, (name, tower) in enumerate(result.towers.items())]
