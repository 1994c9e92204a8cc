"""Neutral text, which states none of the measured facts: read-outs are fitted to it."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from retroscope.collection.facts.records import Fact
from retroscope.encoders.checkpoints.language_heads import Prediction
from retroscope.encoders.encode import TokenIds
from retroscope.errors import AnalysisError
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.knowledge.states import ReadInput

MASKED_SHARE = 0.15  # of the tokens of a text, as in pre-training (Devlin et al. 2019)
ROUNDS = 50  # times that a text is masked anew, at most


def without_facts(texts: Iterable[str], facts: Sequence[Fact]) -> list[str]:
    """Return the texts that do not contain both the subject and the object of any fact."""
    objects: dict[str, set[str]] = {}
    for fact in facts:
        objects.setdefault(fact.subject.casefold(), set()).add(fact.object.casefold())
    subjects = list(objects)
    neutral = []
    for text in texts:
        folded = text.casefold()
        named = [subject for subject in subjects if subject in folded]
        if not any(answer in folded for subject in named for answer in objects[subject]):
            neutral.append(text)
    return neutral


def neutral_places(
    tokenizer: PreTrainedTokenizerBase, kind: Prediction, texts: Sequence[str], settings: ReadoutSettings
) -> tuple[list[ReadInput], Int[Tensor, "row"], int]:
    """Return model inputs from neutral text, the token to predict at each position, and how many positions to hold out.

    The held-out positions are the last ones, and lie in texts of their own. For a masked model, some tokens of each
    text are masked. If there are too few texts, each is used several times with other masks.

    Args:
        kind: "masked" or "causal", how the model predicts tokens.
        texts: neutral texts.
        settings: how many positions are needed.

    Raises:
        AnalysisError: if the texts have too few tokens.
    """
    rng = np.random.default_rng(settings.seed)
    rows = tokenizer(list(texts), truncation=True, max_length=settings.longest)["input_ids"] if texts else []
    special = set(tokenizer.all_special_ids)
    usable = [row for row in rows if sum(token not in special for token in row) > 1]
    order = rng.permutation(len(usable))
    tenth = max(1, len(usable) // 10)
    parts = [(order[tenth:], settings.positions), (order[:tenth], settings.held_out)]
    places: list[ReadInput] = []
    targets: list[int] = []
    counts = []
    for indices, wanted in parts:
        inputs, words = _predictions(tokenizer, kind, [usable[i] for i in indices], wanted, rng)
        places, targets = places + inputs, targets + words
        counts.append(len(words))
    if counts[0] < settings.positions / 4 or counts[1] == 0:
        raise AnalysisError(
            f"the neutral text is too short: it has {counts[0]:,} tokens to predict (needed: "
            f"{math.ceil(settings.positions / 4):,}) and {counts[1]:,} held-out tokens (needed: 1)",
            fix="give more neutral text (--text, retention.text), or lower edit.tokens or retention.readout.positions",
        )
    return places, torch.tensor(targets), counts[1]


def _predictions(
    tokenizer: PreTrainedTokenizerBase,
    kind: Prediction,
    rows: Sequence[TokenIds],
    wanted: int,
    rng: np.random.Generator,
) -> tuple[list[ReadInput], list[int]]:
    special = set(tokenizer.all_special_ids)
    places: list[ReadInput] = []
    targets: list[int] = []
    for _ in range(ROUNDS if kind == "masked" else 1):
        for row in rows:
            if len(targets) >= wanted:
                return places, targets
            plain = [at for at, token in enumerate(row) if token not in special and (kind == "masked" or at > 0)]
            if kind == "causal":
                places.append(ReadInput(list(row), tuple(at - 1 for at in plain)))
            else:
                drawn = rng.permutation(plain)[: max(1, round(MASKED_SHARE * len(plain)))]
                plain = sorted(int(at) for at in drawn)
                masked = [tokenizer.mask_token_id if at in plain else token for at, token in enumerate(row)]
                places.append(ReadInput(masked, tuple(plain)))
            targets += [row[at] for at in plain]
    return places, targets
