"""Which test each analysis uses under the protocol `ielab-2025`, and which comparisons code lengths are corrected with.

    python benchmarks/audit/which_tests.py

Measures the demo's pair, whose models come with the package, on 300 queries of a made world under the protocol, and
reads the tests from every comparison in the results. Before: the protocol's test for all of them, in the same families;
`significant` counts cells with a corrected p below .05. Below, the families of the code lengths; before, there was one.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retroscope.collection.loading import drawn_queries, load_collection
from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.statistics import ComparisonSettings, Difference, compare_scores
from retroscope.statistics.cells import families
from retroscope.statistics.comparison import UNTESTED
from retroscope.study.demo import shipped
from retroscope.study.protocols import study_settings
from retroscope.study.run import compare
from retroscope.study.study import Study

QUERIES = 300
SETTINGS: dict[str, Any] = {
    "protocol": PUBLISHED_PROTOCOL,
    "measures": ["RR@10", "R@10"],
    "probes": {
        "probes": ["cosine", "mdl"], "controls": ["none", "shuffled_queries"], "passages": [2], "seeds": 20,
        "layers": [0, 1, 2, 3],
    },
    "baselines": {"poolings": ["cls"], "head": False},
    "neurons": {
        "attribution": {"limit": 4, "quadrature": "gauss:2"}, "ablation": {"draws": 1, "fractions": [0.01, 0.1]},
    },
    "transplants": {"measures": ["RR@10"], "shares": [], "draws": 2},
    "heads": {"limit": 16, "top": 2, "sample": 1, "controls": 1, "draws": 2, "attention": False},
    "patching": {"limit": 16},
    "statistics": {"resamples": 100, "permutations": 100},
}  # fmt: skip


def main() -> None:
    """Print both tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    study = measured()
    print(f"comparison under {PUBLISHED_PROTOCOL} | before: test, significant | after: tests, significant | cells")
    print("\n".join(tests(dict(study.results), study.subject.statistics)))
    lengths = study["probes"].mdl
    print("\ncode lengths: cells that are corrected together | comparisons")
    print("\n".join(f"before: {cells}" for cells in corrected_together(lengths, ())))
    print("\n".join(f"after: {cells}" for cells in corrected_together(lengths, lengths.method["family_per"])))


def measured() -> Study:
    """Return a small study of the demo's pair under the protocol."""
    models = shipped()
    with tempfile.TemporaryDirectory() as folder:
        world = write_world(make_world(WorldSettings(people=240)), Path(folder) / "world")
        before, after = (
            load_retriever(model, pooling="mean", similarity="cosine", protocol=PUBLISHED_PROTOCOL, max_length=64)
            for model in (models.backbone, models.retriever)
        )
        data = drawn_queries(load_collection(f"beir:{world}", split="train"), QUERIES)
        return compare(before, after, data, study_settings(SETTINGS), cache=Path(folder) / "cache")


def comparisons(value: object, name: str = "") -> Iterator[tuple[str, Difference]]:
    """Yield every comparison inside of a result, with its place."""
    if isinstance(value, Difference):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from comparisons(one, f"{name}/{key}")
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from comparisons(one, f"{name}/{place}")
    elif is_dataclass(value):
        for one in fields(value):
            yield from comparisons(getattr(value, one.name), f"{name}/{one.name}" if name else one.name)


def tests(results: Mapping[str, object], protocol: ComparisonSettings) -> list[str]:
    """Return a line for each comparison: by the protocol's test, and as it was tested."""
    lines = []
    for name, after in comparisons(results):
        before = compare_scores(after.before, after.after, replace(protocol, **families_of(after)))
        sides = " | ".join(f"{', '.join(sorted(used(one)))}, {significant(one)}" for one in (before, after))
        lines.append(f"{name.removeprefix('/')} | {sides} | {np.isfinite(after.table['p'].values).sum()}")
    return lines


def families_of(effect: Difference) -> dict[str, Any]:
    """Return the settings that say which cells are corrected together."""
    headline = effect.method["headline"]
    return {"family_per": tuple(effect.method["family_per"]), "headline": tuple(headline) if headline else None}


def used(effect: Difference) -> set[str]:
    """Return the tests of all cells."""
    return {str(name) for name in effect.table["test_used"].values.ravel()} - {UNTESTED}


def significant(effect: Difference) -> int:
    """Count the cells with a corrected p below .05."""
    return int((effect.table["p_corrected"].values < 0.05).sum())


def corrected_together(effect: Difference, family_per: tuple[str, ...]) -> list[str]:
    """Return a line for each family: its controls, and the number of its comparisons."""
    controls = np.broadcast_to(effect.table["control"].values[:, None, None], effect.table["p"].shape).ravel()
    number = families(effect.before, family_per)
    together = [controls[number == one] for one in np.unique(number)]
    return [f"control {', '.join(dict.fromkeys(map(str, cells)))} | {len(cells)}" for cells in together]


if __name__ == "__main__":
    main()
