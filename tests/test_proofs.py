"""A small part of docs/proofs.md: some rows of every family, with few studies, and the rules of the table itself."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from proof import (
    baselines,
    components,
    doctor,
    domains,
    erasure,
    interventions,
    knowledge,
    localisation,
    neurons,
    paths,
    probes,
    representations,
    retrieval,
    several,
    sharing,
    training,
    weights,
)
from proof.proof import LEAST_COVERAGE, Proof, Rate, rate

STUDIES = 24
QUICK = {
    "training": lambda: training.proofs(40),
    "weights": lambda: weights.proofs(STUDIES),
    "procrustes": lambda: [representations.rotations(STUDIES)],
    "effective rank": lambda: [representations.dimensions(STUDIES)],
    "equivalence": lambda: [retrieval.equivalence(STUDIES)],
    "baselines": lambda: [baselines.shuffled(12), hidden_layer()],
    "localisation": lambda: where(),
    "neurons": lambda: [neurons.peak(STUDIES), neurons.shared(STUDIES)],
    "several": lambda: [several.trainings(24), several.shapley(24), several.area(12)],
    "doctor": lambda: doctor.proofs(8),
    "components": lambda: components.proofs(16),
    "erasure": lambda: erasure.proofs(8),
    "domains": lambda: domains.proofs(16),
    "knowledge": lambda: knowledge.proofs(16),
    "paths": lambda: paths.proofs(1),
    "probes": lambda: [probes.passages_alone(12)],
    "interventions": lambda: [interventions.transplant(12, 3), interventions.share(STUDIES)],
    "sharing": lambda: [sharing.repeated(STUDIES)],
}


def hidden_layer() -> Proof:
    null = [baselines.studied(seed, baselines.EQUAL, baselines.EQUAL) for seed in range(5)]
    better = [baselines.studied(seed, baselines.HIDDEN, (0.2, 0.2)) for seed in range(4)]
    effect = baselines.reached(0.2, repeats=10) - baselines.reached(baselines.NOISE, repeats=10)
    return baselines.beyond(null, better, [baselines.leaked(seed) for seed in range(4)], effect)


def where() -> list[Proof]:
    by_luck, knowing = (
        [localisation.localised(seed, localisation.GRADED, seen) for seed in range(10)]
        for seen in (localisation.unrelated, localisation.related)
    )
    two = [localisation.localised(seed, localisation.TWO, localisation.names(4), 2) for seed in range(16)]
    return [localisation.agreement(by_luck, knowing), localisation.contradiction(two, by_luck)]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The families set the number of torch's threads, for their process: here others come after them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("family", QUICK)
def test_controls_fail_and_planted_truths_are_found(family: str) -> None:
    """A rate of .05, or coverage of .95, is that far off once in 1,000 runs; these runs are seeded."""
    for proof in QUICK[family]():
        assert proof.failed, proof
        if proof.false:
            assert stats.binom.sf(proof.false.hits - 1, proof.false.of, 0.05) > 1e-3, proof
        if proof.power:
            assert proof.power.value > 0.5, proof
        if proof.coverage:
            assert stats.binom.cdf(proof.coverage.hits, proof.coverage.of, 0.95) > 1e-3, proof


def proof_with(**changes: object) -> Proof:
    sound = {
        "instrument": "x", "control": "", "reads": "", "failed": True, "false": Rate(5, 100), "power": None,
        "planted": "", "coverage": Rate(95, 100), "held_against": "",
    }  # fmt: skip
    return Proof(**(sound | changes))


def test_a_sound_instrument_has_no_fault() -> None:
    assert proof_with().faults() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failed": False}, "control did not fail"),
        ({"false": Rate(30, 200)}, "false statements"),
        ({"coverage": Rate(int(1000 * LEAST_COVERAGE) - 1, 1000)}, "coverage"),
    ],
)
def test_every_fault_is_named(changes: dict[str, object], said: str) -> None:
    (fault,) = proof_with(**changes).faults()
    assert said in fault


def test_the_interval_of_a_rate_covers_it() -> None:
    """Clopper and Pearson's interval covers at least at its level: 2,000 rates, at most 3 standard errors below."""
    random = np.random.default_rng(0)
    for truth in (0.02, 0.05, 0.5):
        inside = [
            low <= truth <= high
            for low, high in (Rate(int(random.binomial(300, truth)), 300).interval for _ in range(2000))
        ]
        assert np.mean(inside) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_a_rate_counts() -> None:
    assert rate([True, False, True]) == Rate(2, 3)
    assert str(Rate(1, 20)) == ".050 [.001, .249], 20"
