"""What an edit did: reliability, generality, locality, and the loss on neutral text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from retroscope.collection.facts.records import Fact
from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encoder import Encoder
from retroscope.knowledge.clozes import relation_clozes
from retroscope.knowledge.readouts import HEAD, HeadReadout
from retroscope.knowledge.recall import LOG_P_TOKEN, MEASURES, P1, recall
from retroscope.knowledge.states import ReadInput, states_at


@dataclass(frozen=True)
class EditState:
    """What a model reads, before or after an edit.

    Attributes:
        reliability: P@1 of the edited facts in the wording that was edited.
        generality: P@1 of the same facts in other wordings; NaN where they have none.
        locality: P@1 of other facts.
        log_p: mean log-probability of a token of the edited objects.
        loss: cross entropy of a token of neutral text.
    """

    reliability: float
    generality: float
    locality: float
    log_p: float
    loss: float


def edit_state(
    encoder: Encoder,
    head: LanguageHead,
    facts: Sequence[Fact],
    edited: Sequence[Fact],
    neutral: tuple[Sequence[ReadInput], Int[Tensor, "row"]],
) -> EditState:
    """Read all facts in their wordings, and the neutral text.

    Args:
        facts: all of them; candidates are the objects of a relation.
        edited: those that are edited, with their objects as they shall be read.
    """
    changed = {fact.id: fact for fact in edited}
    every = [changed.get(fact.id, fact) for fact in facts]
    hits: dict[str, list[float]] = {"reliability": [], "generality": [], "locality": []}
    log_p: list[float] = []
    for relation in dict.fromkeys(fact.relation for fact in every):
        rows = [(row, fact) for row, fact in enumerate(every) if fact.relation == relation]
        for wording in range(max(len(fact.clozes) for _, fact in rows)):
            clozes = relation_clozes(encoder.tokenizer, head.kind, rows, wording)
            if clozes is None:
                continue
            told = recall(encoder, clozes, {HEAD: HeadReadout(head)}, seed=0).measures[0, -1]
            own = np.array([every[row].id in changed for row in clozes.rows])
            hits["generality" if wording else "reliability"] += told[own, MEASURES.index(P1)].tolist()
            if wording == 0:
                hits["locality"] += told[~own, MEASURES.index(P1)].tolist()
                log_p += told[own, MEASURES.index(LOG_P_TOKEN)].tolist()
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in hits.items()}
    return EditState(**means, log_p=float(np.mean(log_p)), loss=_loss(encoder, head, *neutral))


def _loss(encoder: Encoder, head: LanguageHead, inputs: Sequence[ReadInput], targets: Int[Tensor, "row"]) -> float:
    states = states_at(encoder, inputs)[-1]
    with torch.inference_mode():
        words = head.logits(states).log_softmax(-1).cpu()
    return float(-words[torch.arange(len(targets)), targets].mean())
