"""Path integrals of neurons: values that add up to what the weights do, of toy models of random weights.

The truth has a closed form: the signed values of one matrix's neurons add up to F with the matrix less F without it.
"""

import sys
from functools import cache
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "attribution"))

from oracles import apart, one_by_one, toy, work

from proof.proof import Proof, short
from retroscope.attribution.integrals.methods import METHODS
from retroscope.attribution.integrals.paths import relative_gap, together
from retroscope.encoders.encode import tokenise
from toys import TEXTS

FAMILIES = ("bert", "llama", "gpt2", "t5-gated")
AUTO, PUBLISHED = "auto:0.001", "ielab-20"


def proofs(studies: int) -> list[Proof]:
    """Return a row for the path of one matrix, and one for the path of all together; `studies` texts at most."""
    torch.set_num_threads(1)
    return [complete(name, min(studies, len(TEXTS))) for name in ("weight_path", "joint_path")]


def complete(method: str, texts: int) -> Proof:
    """Return the row of completeness; the published rule of 20 nodes, which counts both ends fully, is its control."""
    own, published = (largest_gap(method, rule, texts) for rule in (AUTO, PUBLISHED))
    return Proof(
        instrument=f"Neurons: the attributions along `{method}` add up to the effect of the weights on F",
        control=f"The published rule of 20 nodes (`{PUBLISHED}`)",
        reads=f"The largest gap is {short(published)} of the sum of magnitudes; with `{AUTO}` it is {own:.0e}",
        failed=published > 0.01 > 5 * own,
        false=None,
        power=None,
        planted="",
        coverage=None,
        held_against=f"the closed form F(1) - F(0), in {len(FAMILIES)} families; the published loop in float64 with "
        f"overwritten weights: differs by {by_hand():.0e}",
    )


def largest_gap(method: str, rule: str, texts: int) -> float:
    """Return the largest completeness gap of any text, relative to the sum of its absolute values."""
    gaps = []
    for family in FAMILIES:
        encoder = toy(family)
        found = METHODS[method](work(encoder, tokenise(encoder, TEXTS[:texts]), rule=rule))
        sites = found.values() if method == "weight_path" else [together(found)]
        gaps += [float(relative_gap(values).max()) for values in sites]
    return max(gaps)


@cache
def by_hand() -> float:
    """Return how far the engine is from the published loop, relative to the largest value, for two texts."""
    encoder = toy("llama")
    rows = tokenise(encoder, TEXTS[:2])
    asked = work(encoder, rows, rule=PUBLISHED)
    found, truth = METHODS["weight_path"](asked), one_by_one(asked, rows)
    return max(apart(found[site].signed, signed) for site, (_, signed) in truth.items())
