"""Online code length: how many bits transmit the correct candidates to a receiver who has the vectors.

This is the online code of Voita & Titov 2020, section 3.2. The queries come in a random order, in blocks. The first
block is coded uniformly, with log2 N bits for each probe example. Each later block is coded by the `elementwise` probe
(its anchor included), fitted to all earlier blocks. A probe that needs many examples has a longer code, so the code
length measures not only whether the probe can predict relevance, but also how easily it learns to. Compression is log2
N, divided by the mean number of bits of a probe example. A compression of 1 means that the probe predicts no better
than chance.

The ridge cannot be chosen on the labels that are being transmitted. Instead, the code is a Bayesian mixture of one code
for each ridge and the uniform code, weighted by the probability that each gave to the relevant passages of the earlier
probe examples. The whole message is therefore at most log2(number of ridges + 1) bits longer than that of the best code
alone.
"""

from itertools import pairwise
from math import log

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retroscope.probing.fitting.anchor import fit_anchor
from retroscope.probing.fitting.features import centred, product_features, spread
from retroscope.probing.fitting.logits import Problems, choice_scores, fit_choices, log_chances
from retroscope.probing.probes.logit import FitColumns
from retroscope.probing.splits import Choices
from retroscope.probing.tasks import Task
from retroscope.probing.trial import Features, ProbeTrial

Bits = Float[np.ndarray, "control size choice"]
BLOCKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # each block ends at this share of the queries
SLACK = 10  # a code is a code whatever weights it uses: 1e-3 nats from the optimum cost at most 0.0015 bits a choice
ALL = "all"  # the one part of a view that is coded


def coding_order(task: Task, seed: int) -> Choices:
    """Return all probe examples in a random order of query texts; those with the same query text are adjacent."""
    text = task.text
    rank = np.random.default_rng([seed, 3]).permutation(int(text.max(initial=-1)) + 1)
    order = np.lexsort((task.query, rank[text]))
    return Choices(task.query[order], task.passages[order, : task.size])


def code_length(trial: ProbeTrial) -> tuple[Bits, bool]:
    """Return the length of the online code of each probe example in bits, and whether all fits converged."""
    features = product_features(trial)(trial.view.parts[ALL])
    similarity = trial.similarities[ALL]
    columns = FitColumns(trial.view, trial.options.ridge)
    ends = block_ends(trial.texts[trial.view.parts[ALL].query])
    blocks, converged = [_uniform(columns, ends[0]).repeat(1, 1, len(columns.ridges) + 1, 1)], True
    for start, end in pairwise(ends):
        block, fine = _learned(trial, (features, similarity), columns, slice(start, end))
        blocks.append(torch.cat([block, _uniform(columns, end - start)], dim=2))
        converged = converged and fine
    return mixture_bits(torch.cat(blocks, dim=3)).numpy(), converged


def block_ends(texts: Int[np.ndarray, "choice"]) -> list[int]:
    """Return the index at which each block of the online code ends.

    Probe examples with the same query text are in one block.

    Args:
        texts: index of each probe example's query text; equal indices are adjacent.
    """
    starts = np.flatnonzero(np.diff(texts, prepend=-1))
    edges = [*starts.tolist(), len(texts)]
    return sorted({edges[max(1, round(share * len(starts)))] for share in BLOCKS})


def mixture_bits(chances: Float[Tensor, "control size expert choice"]) -> Float[Tensor, "control size choice"]:
    """Return the code length of each probe example in bits under a Bayesian mixture of several codes (experts).

    The weight of an expert is the probability that it gave to the relevant passages of all earlier examples. The sum of
    the code lengths is -log2 of the mean, over experts, of their probability of the whole message.

    Args:
        chances: log probability of the correct candidate by each expert.
    """
    before = chances.double().cumsum(dim=3) - chances
    trust = before.log_softmax(dim=2)
    bits: Tensor = -(trust + chances).logsumexp(dim=2) / log(2)
    return bits.clamp_min(0)  # the sum of all chances rounds above 1 where a code is nearly certain


def _uniform(columns: FitColumns, choices: int) -> Float[Tensor, "control size 1 choice"]:
    """Return the log probabilities of the uniform code: log 1/N for every probe example."""
    controls, sizes, _ = columns.shape
    chance = torch.tensor(columns.view.sizes).float().log().neg()
    return chance[None, :, None, None].expand(controls, sizes, 1, choices)


def _learned(
    trial: ProbeTrial, inputs: tuple[Features, Features], columns: FitColumns, block: slice
) -> tuple[Float[Tensor, "control size ridge choice"], bool]:
    """Return the log probabilities of a block's correct candidates by probes that are fitted to all earlier blocks.

    The second value is whether all fits converged.

    Args:
        inputs: features and similarities of all probe examples.
        block: range of the probe examples of the block.
    """
    (features, similarity), targets = inputs, columns.targets(ALL)
    earlier, earlier_targets = features[: block.start], targets[:, : block.start]
    unit, anchor = spread(earlier), fit_anchor(trial, similarity[: block.start], earlier_targets, columns.sizes)
    fit = fit_choices(
        Problems(
            centred(earlier) / unit,
            earlier_targets,
            columns.sizes,
            columns.ridge,
            anchor.offset(similarity[: block.start]),
        ),
        tolerance=SLACK * trial.options.tolerance,
        max_iterations=trial.options.max_iterations,
    )
    scores = choice_scores(
        centred(features[block]) / unit, fit.weights, columns.sizes, anchor.offset(similarity[block])
    )
    chances = log_chances(scores, targets[:, block]).T
    return chances.reshape(*columns.shape, -1), bool((fit.converged & anchor.converged).all())
