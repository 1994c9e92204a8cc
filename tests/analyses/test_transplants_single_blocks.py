"""Groups of blocks that are split: only the significant ones, and no more false claims than their level allows."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binomtest

from retroscope.analyses.transplants.block_words import block_statements
from retroscope.analyses.transplants.infer import differences
from retroscope.analyses.transplants.result import TransplantEffects
from retroscope.analyses.transplants.single_blocks import (
    block_differences,
    blocks_to_measure,
    claimed_blocks,
    single_blocks,
)
from retroscope.scores import Scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.surgery.transplant import blocks_within
from retroscope.typesetting.statements import State

pytestmark = pytest.mark.usefixtures("no_collection")

STATISTICS = ComparisonSettings(resamples=100)
QUERIES, STUDIES = 60, 200
GROUPS = ("block:1-3", "block:4-6", "block:7")


def scores(effects: dict[str, float], rng: np.random.Generator, noise: float = 0.1) -> tuple[Scores, Scores]:
    """Scores of .8 before, and each transplant's effect after, with noise by query and transplant."""
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": list(effects), "measure": ["RR@10"]}
    after = 0.8 + np.array(list(effects.values())) + noise * rng.standard_normal((QUERIES, len(effects)))
    values = xr.DataArray(after[..., None], labels, tuple(labels))
    return Scores("t", xr.full_like(values, 0.8), {}), Scores("t", values, {})


def test_a_group_names_its_blocks() -> None:
    assert blocks_within("block:3-5") == ["block:3", "block:4", "block:5"]
    for name in ("block:3", "block:3-3", "top:3", "attention", "set:1-2", "all", "random:0:block:1-2"):
        assert blocks_within(name) == []


def test_only_significant_groups_of_several_blocks_are_split() -> None:
    rng = np.random.default_rng(0)
    one = scores({"block:1-3": -0.3, "block:4-6": 0.0, "block:7": -0.3, "attention": -0.3, "all": -0.5}, rng)
    assert blocks_to_measure(differences({"restored": one}, STATISTICS)["restored"]) == [
        "block:1",
        "block:2",
        "block:3",
    ]
    nothing = scores({"block:1-3": -0.3, "all": 0.0}, rng)
    assert blocks_to_measure(differences({"restored": nothing}, STATISTICS)["restored"]) == [], "nothing to localise"


def test_a_block_of_overlapping_groups_is_measured_and_counted_once() -> None:
    rng = np.random.default_rng(4)
    effects = {"block:1-2": 0.0, "block:1-3": -0.3, "block:2-4": -0.3, "block:4-5": 0.0, "all": -0.5}
    groups = differences({"restored": scores(effects, rng)}, STATISTICS)
    names = [f"block:{number}" for number in (1, 2, 3, 4)]
    assert blocks_to_measure(groups["restored"]) == names
    found = single_blocks(groups, {"restored": scores(dict.fromkeys(names, -0.3), rng)}, {}, STATISTICS)
    assert found is not None
    table = found.effects.set_index("transplant")
    assert table["group"].tolist() == ["block:1-3", "block:1-3", "block:1-3", "block:2-4"], "only those that were split"
    assert table["p_corrected"].min() == pytest.approx(5 * table["p"].min()), "five blocks in all groups"


def test_a_measure_without_a_significant_total_effect_has_no_shares() -> None:
    """By the measure "RR" the total effect is significant only before correction, as `share_table` would ask."""
    rng = np.random.default_rng(5)

    def twice(effects: dict[str, float], other: dict[str, float]) -> tuple[Scores, Scores]:
        pairs = zip(scores(effects, rng), scores(other, rng), strict=True)
        both = [(one, two.values.assign_coords(measure=["RR"])) for one, two in pairs]
        before, after = (replace(one, values=xr.concat([one.values, two], "measure")) for one, two in both)
        return before, after

    names = ["block:1-3", "block:4-6", "block:7", "attention", "norms", "embeddings", "top:1", "top:2"]
    little = {**dict.fromkeys(names, 0.0), "all": -0.04}
    of_groups = twice({**dict.fromkeys(names, 0.0), "block:1-3": -0.3, "all": -0.5}, little)
    groups = differences({"restored": of_groups}, STATISTICS)
    total = groups["restored"].table.to_dataframe().loc[("all", "RR")]
    assert total["p"] < 0.05 < total["p_corrected"], "the case"
    blocks = dict.fromkeys(("block:1", "block:2", "block:3"), -0.03)
    found = single_blocks(groups, {"restored": twice(blocks, blocks)}, {}, STATISTICS)
    assert found is not None
    assert found.effects.groupby("measure")["share"].count().to_dict() == {"RR@10": 3, "RR": 0}


def test_blocks_that_were_not_measured_count_in_the_family() -> None:
    rng = np.random.default_rng(1)
    groups = differences({"restored": scores({"block:1-3": -0.3, "block:4-6": 0.0, "all": -0.5}, rng)}, STATISTICS)
    blocks = scores({"block:1": -0.04, "block:2": 0.0, "block:3": -0.3}, rng)
    found = single_blocks(groups, {"restored": blocks}, {}, STATISTICS)
    assert found is not None
    table = found.effects.set_index("transplant")
    assert table.loc["block:3", "p_corrected"] == pytest.approx(6 * table.loc["block:3", "p"]), "six blocks, not three"
    assert table.loc["block:1", "p_corrected"] == pytest.approx(5 * table.loc["block:1", "p"])
    assert table.loc["block:2", "p_corrected"] == pytest.approx(min(1, 4 * table.loc["block:2", "p"]))
    assert set(table["group"]) == {"block:1-3"}
    total = groups["restored"].table.to_dataframe().loc[("all", "RR@10"), "effect"]
    assert table.loc["block:3", "share"] == pytest.approx(table.loc["block:3", "effect"] / total)
    assert found.controls.empty
    assert single_blocks(groups, {}, {}, STATISTICS) is None


def false_claims(rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether a block without effect is claimed, and whether it would be without correction.

    Two groups matter by one block each, at the edge of being found.

    A group's scores share their noise with those of its blocks, so that a group is split where its blocks look bad.
    """
    noise = 0.1 * rng.standard_normal((QUERIES, 6))
    true = np.array([-0.04, 0, 0, -0.04, 0, 0])
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "measure": ["RR@10"]}

    def made(columns: dict[str, np.ndarray]) -> tuple[Scores, Scores]:
        values = xr.DataArray(
            0.8 + np.stack(list(columns.values()), axis=1)[..., None],
            {"query": labels["query"], "transplant": list(columns), "measure": labels["measure"]},
            ("query", "transplant", "measure"),
        )
        return Scores("t", xr.full_like(values, 0.8), {}), Scores("t", values, {})

    single = true + noise
    columns = {"block:1-3": single[:, :3].sum(axis=1), "block:4-6": single[:, 3:].sum(axis=1)}
    groups = differences({"restored": made({**columns, "all": single.sum(axis=1) - 1})}, STATISTICS)["restored"]
    names = blocks_to_measure(groups)
    if not names:
        return False, False
    blocks = made({name: single[:, int(name.partition(":")[2]) - 1] for name in names})
    table = block_differences(blocks, STATISTICS).table["p"].sel(measure="RR@10").to_series()
    claims = claimed_blocks(groups, blocks, STATISTICS), table.index[table < 0.05]
    with_correction, without = (bool({*claimed} - {"block:1", "block:4"}) for claimed in claims)
    return with_correction, without


def test_blocks_without_effect_are_claimed_at_most_at_the_level() -> None:
    rng = np.random.default_rng(2)
    wrong, uncorrected = np.sum([false_claims(rng) for _ in range(STUDIES)], axis=0)
    assert binomtest(int(wrong), STUDIES, 0.05, alternative="greater").pvalue > 0.01
    assert binomtest(int(uncorrected), STUDIES, 0.05, alternative="greater").pvalue < 0.01, "the simulation can fail"


def test_the_statement_names_blocks_and_what_random_changes_do() -> None:
    rng = np.random.default_rng(3)
    groups = differences({"restored": scores({"block:1-3": -0.3, "all": -0.5}, rng)}, STATISTICS)
    blocks = scores({"block:1": 0.0, "block:2": -0.3, "block:3": 0.0}, rng)
    drawn = -0.02 + 0.01 * rng.standard_normal((QUERIES, 1, 8, 1)) + 0.8
    labels = {"query": [f"q{i}" for i in range(QUERIES)], "transplant": ["block:2"], "draw": list(range(8)),
              "measure": ["RR@10"]}  # fmt: skip
    random = Scores("random", xr.DataArray(drawn, labels, tuple(labels)), {"direction": "restored"})
    found = single_blocks(groups, {"restored": blocks}, {"restored": random}, STATISTICS)
    effects = TransplantEffects("c", 3, groups, ("RR@10",), single_blocks=found)
    (statement,) = block_statements(effects, "restored", "the retriever")
    assert statement.state is State.SIGNIFICANT
    assert statement.code == "restored.single_blocks"
    assert statement.text.startswith(
        "Each block of blocks 1 to 3 was also restored alone, because the effect of its group is significant. RR@10 "
        "changes significantly for 1 of 3 blocks: block 1 "
    )
    assert statement.text.endswith(
        "The effect is significantly larger than that of random changes of equal size in the retriever for 1 of 1 "
        "block: block 2."
    )
    assert list(block_statements(effects, "grafted", "the backbone")) == []
    assert list(block_statements(replace(effects, single_blocks=None), "restored", "the retriever")) == []
