"""Estimate the work of an attribution in passes of the network at path nodes, before anything runs."""

from dataclasses import dataclass

from retroscope.attribution.integrals.quadrature import FIRST_GAUSS, quadrature
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.stability import in_stages
from retroscope.encoders.encoder import Encoder

# Nodes that `auto` runs in the mean, over those it begins with. Measured by `benchmarks/plan.py`: 1.0 to 1.3 with
# all-MiniLM-L6-v2 on SciFact, up to 3 with stories260K, whose first blocks need 64.
REFINED = 1.5
# Examples after which a ranking is expected to be stable, where the attribution may stop: chosen after looking at
# all-MiniLM-L6-v2 and SRE-MiniLM on nq-open-gold and SciFact, whose halves agree to .51 to .68 there (docs).
STABLE_AFTER = 32
# Rate of the recorded and scaled passes over that of plain encoding, by `benchmarks/plan.py`: gradients go to the
# scaled matrix alone, so a backward pass takes the operations of a forward pass, and its products are as fast.
RELATIVE_RATE = 0.8


@dataclass(frozen=True)
class AttributionSize:
    """How many examples, texts per example, and passes per text an attribution takes.

    Attributes:
        examples: largest number of examples (queries, or texts if the target is `norm`).
        expected: expected number of examples, if the attribution may stop early.
        texts: how many texts of an example are encoded at every node of the integration path: 2 for `margin` on the
            passage tower, else 1.
        passes: how many forward and backward passes of the whole network each text takes.
    """

    examples: int
    expected: int
    texts: int
    passes: float


def attribution_size(encoder: Encoder, settings: AttributionSettings, available: int) -> AttributionSize:
    """Return how many examples, texts per example, and passes per text an attribution takes.

    Args:
        available: how many examples there are to draw from.
    """
    examples = min(settings.limit or available, available)
    pairs = settings.target == "margin" and settings.scaled == "passage"
    expected = min(examples, STABLE_AFTER) if in_stages(examples, settings) else examples
    return AttributionSize(examples, expected, 2 if pairs else 1, _passes(encoder, settings))


def _passes(encoder: Encoder, settings: AttributionSettings) -> float:
    """Return how many passes of the whole network one text takes. A backward pass counts like a forward pass."""
    rule = quadrature(settings.rule)
    nodes = FIRST_GAUSS * REFINED if rule.tolerance is not None else len(rule.rules[0].nodes)
    if settings.method == "activation_x_gradient":
        return 1 + 2
    if settings.method != "weight_path":
        return 1 + 2 * nodes
    # the weights of a block are scaled while all blocks above it run: half of the network, in the mean over blocks
    sites = len(settings.parts) * encoder.anatomy.n_blocks
    return 1 + sites * (2 * nodes + 1) / 2 * (encoder.anatomy.n_blocks - 0.5) / encoder.anatomy.n_blocks
