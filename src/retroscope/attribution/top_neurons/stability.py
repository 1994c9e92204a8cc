"""Stop an attribution once random halves of its examples agree on the top neurons.

Examples are attributed in a random order, stage by stage. Every other distinct text belongs to the second half. After
each stage, the top neurons of the two halves are compared. The attribution stops if their agreement reaches the setting
`agreement`. After which stage it stops depends only on data and settings. A longer attribution begins with the examples
of a shorter one.
"""

from collections.abc import Sequence
from itertools import count

import numpy as np
from jaxtyping import Float

from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.overlap import jaccard
from retroscope.attribution.top_neurons.selection import how_many

# Shares of the neurons whose top sets are compared: the mean over several is less a matter of luck than one small set.
STABLE_AT = (0.01, 0.03, 0.1)
FIRST_STAGE = 16  # examples; with fewer, halves say little


def in_stages(examples: int, settings: AttributionSettings) -> bool:
    """Return whether an attribution with this number of examples may stop early.

    If the settings have a batch size, it may not: all examples are attributed in their order, as in the published
    study.
    """
    return settings.agreement is not None and settings.batch_size is None and examples > FIRST_STAGE


def stage_ends(examples: int) -> list[int]:
    """Return after how many examples the two halves are compared: 16, 24, 32, 48, 64, 96 ... and `examples`."""
    ends: list[int] = []
    for power in count():
        for end in (FIRST_STAGE * 2**power, FIRST_STAGE * 2**power * 3 // 2):
            if end >= examples:
                return [*ends, examples]
            ends.append(end)
    return ends


def agreement(halves: Float[np.ndarray, "half *neuron"]) -> float:
    """Return how well two halves of the examples agree on the top neurons, as a mean Jaccard index.

    The mean is over the top 1 %, 3 % and 10 % of the neurons. It is NaN if one of these top sets is undefined.

    Args:
        halves: sum or mean of each neuron's shares over each half of the examples.
    """
    first, second = (half.reshape(-1) for half in halves)
    return float(np.mean([jaccard(first, second, how_many(share, len(first))) for share in STABLE_AT]))


def random_order(ids: Sequence[str], seed: int) -> list[str]:
    """Return the ids in random order."""
    return [ids[at] for at in np.random.default_rng(seed).permutation(len(ids))]
