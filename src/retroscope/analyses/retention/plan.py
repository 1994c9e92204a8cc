"""Plan the reading of facts: choose the facts and their clozes, cut the neutral text, and estimate the time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from retroscope.analyses.analysis import Planned
from retroscope.analyses.context import Context
from retroscope.analyses.retention.left_out import counted_otherwise, not_asked, repeated_wordings
from retroscope.analyses.retention.settings import RetentionSettings
from retroscope.collection.facts.loading import load_facts
from retroscope.collection.facts.records import Facts
from retroscope.encoders.checkpoints.language_heads import Prediction
from retroscope.encoders.checkpoints.resolve import positions_of
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.work import operations
from retroscope.errors import AnalysisError, CollectionError, listed
from retroscope.inputs.load import read_lines
from retroscope.knowledge.askable import AskableFacts, askable_facts
from retroscope.knowledge.clozes import RelationClozes, relation_clozes
from retroscope.knowledge.neutral import neutral_places, without_facts
from retroscope.knowledge.states import ReadInput
from retroscope.number_format import count


@dataclass(frozen=True, eq=False)
class Wording:
    """The tokenised clozes that state the facts of one relation in one wording.

    Attributes:
        number: index of the wording: 0 is the cloze, larger numbers are its paraphrases.
        clozes: the tokens of the facts in this wording.
    """

    relation: str
    number: int
    clozes: RelationClozes


@dataclass(frozen=True, eq=False)
class RetentionWork:
    """Prepared inputs of the retention analysis: facts in several wordings, and neutral text to fit linear read-outs.

    Attributes:
        sample: the facts that were drawn.
        facts: facts of the sample whose object the tokenizer knows. The rows of the wordings are indices into them.
        chosen: which facts of the sample can be asked, and which cannot.
        wordings: the wordings of every relation, the cloze first.
        places: inputs of neutral text, with the positions whose states are read.
        targets: the token to predict at each of these positions.
        held_out: how many positions, counted from the end, are held out from the fit of read-outs.
        words: token ids that a read-out can predict.
        notes: notes on the facts that were left out or count differently.
    """

    sample: Facts
    facts: Facts
    chosen: AskableFacts
    wordings: tuple[Wording, ...]
    places: list[ReadInput]
    targets: Int[Tensor, "row"]
    held_out: int
    words: Int[Tensor, "word"]
    notes: tuple[str, ...]

    @property
    def relations(self) -> int:
        """Return the number of relations with a fact that can be asked.

        The tokenizer knows the object of such a fact, and the relation has another object to choose from. A relation
        counts even if the model cannot read its clozes.
        """
        alone = {fact.id for fact in self.chosen.alone}
        return len({fact.relation for fact in self.facts.facts if fact.id not in alone})


def refusal(context: Context, settings: RetentionSettings) -> str:
    """Return the reason why no fact can be read (e.g. no facts are given, or the two vocabularies differ), or ""."""
    if settings.facts is None:
        return "no facts are given: name a file, --set retention.facts=FILE"
    encoders = [retriever.tower(settings.tower) for retriever in context.models.values()]
    first = encoders[0].tokenizer
    if not first.is_fast:
        return f"the tokenizer of {encoders[0].name} does not report which characters each token covers"
    if prediction(encoders[0]) == "masked" and first.mask_token_id is None:
        return f"the tokenizer of {encoders[0].name} has no mask token, so no word of a cloze can be masked"
    vocabularies = [encoder.tokenizer.get_vocab() for encoder in encoders]
    if any(vocabulary != vocabularies[0] for vocabulary in vocabularies):
        return "the two models have different vocabularies, so one language-model head cannot be applied to both"
    return ""


def prediction(encoder: Encoder) -> Prediction:
    """Return what the encoder's family predicts in pre-training: "masked" words, or next words ("causal")."""
    return "causal" if encoder.anatomy.layout.causal else "masked"


def plan(context: Context, settings: RetentionSettings) -> Planned:
    """Choose the facts to read, and estimate the seconds of reading them and of fitting the read-outs.

    Raises:
        CollectionError: for facts or text that cannot be read.
        AnalysisError: for too little neutral text.
    """
    encoder = next(iter(context.models.values())).tower(settings.tower)
    every = load_facts(str(settings.facts))
    sample = sampled_facts(every, settings.per_relation, settings.seed)
    askable = askable_facts(encoder.tokenizer, sample.facts)
    facts = replace(sample, facts=askable.known)
    wordings = tuple(_wordings(encoder, facts, settings))
    cannot = not_asked(askable)
    if not wordings:
        raise CollectionError(
            f"none of the facts can be measured with this model{listed(cannot)}",
            where=str(settings.facts),
            fix="give facts with several objects for each relation, and clozes with words before the object; for a "
            "causal model, these words must include the subject",
        )
    texts = _neutral(context, settings, sample)
    places, targets, held_out = neutral_places(encoder.tokenizer, prediction(encoder), texts, settings.readout)
    objects = torch.tensor([token for wording in wordings for tokens in wording.clozes.tokens for token in tokens])
    words = torch.unique(torch.cat([objects, targets]))
    asked = len(facts) - len(askable.alone)
    firsts = [wording.clozes for wording in wordings if wording.number == 0]
    repeated = repeated_wordings([wording.clozes for wording in wordings])
    notes = (*sample.notes, *cannot, *counted_otherwise(firsts, asked), *repeated)
    work = RetentionWork(sample, facts, askable, wordings, places, targets, held_out, words, notes)
    lines = (
        f"facts: {asked:,} of {len(every):,}, {count(work.relations, 'relation')}, "
        f"{count(sum(len(wording.clozes.rows) for wording in wordings), 'cloze')}",
        f"read-out: {count(len(targets) - held_out, 'token')} of neutral text, {count(len(words), 'word')}",
    )
    document = {"facts": asked, "relations": work.relations, "words": len(words)}
    return Planned(lines=lines, seconds=_seconds(context, settings, work), document=document, work=work)


def sampled_facts(facts: Facts, most: int, seed: int) -> Facts:
    """Return at most `most` facts of each relation, drawn at random, in the order of `facts`."""
    drawn = set[str]()
    for relation in facts.by_relation.values():
        order = np.random.default_rng(seed).permutation(len(relation))[:most]
        drawn.update(relation[at].id for at in order)
    return replace(facts, facts=tuple(fact for fact in facts.facts if fact.id in drawn))


def _wordings(encoder: Encoder, facts: Facts, settings: RetentionSettings) -> Sequence[Wording]:
    wordings = []
    for relation, group in facts.by_relation.items():
        rows = [(row, fact) for row, fact in enumerate(facts.facts) if fact.relation == relation]
        for number in range(min(settings.wordings, max(len(fact.clozes) for fact in group))):
            clozes = relation_clozes(encoder.tokenizer, prediction(encoder), rows, number)
            if clozes is not None:
                _refuse_long(encoder, clozes, facts, settings)
                wordings.append(Wording(relation, number, clozes))
    return wordings


def _refuse_long(encoder: Encoder, clozes: RelationClozes, facts: Facts, settings: RetentionSettings) -> None:
    """Refuse a cloze that, with its longest object, has more tokens than the model has positions."""
    limit, longest = positions_of(encoder.backbone), max(map(len, clozes.inserts))
    for row, context in zip(clozes.rows, clozes.contexts, strict=True):
        size = len(context.before) + longest + len(context.after)
        if limit is not None and size > limit:
            raise AnalysisError(
                f"a cloze of the fact {facts.facts[row].id!r} has {size} tokens with its longest object, "
                f"more than the {limit} positions of the model",
                where=str(settings.facts),
                fix="shorten this cloze, or remove the fact",
            )


def _neutral(context: Context, settings: RetentionSettings, facts: Facts) -> list[str]:
    if settings.text is not None:
        return without_facts(read_lines(Path(settings.text)), facts.facts)
    collection = context.collection
    return without_facts((collection.passage_text(i) for i in collection.passages), facts.facts)


def _seconds(context: Context, settings: RetentionSettings, work: RetentionWork) -> float:
    """Estimate the seconds of forward passes of both models and the random-weight control, and of read-outs."""
    inputs = [
        place
        for wording in work.wordings
        for fact in range(len(wording.clozes.rows))
        for place in wording.clozes.places(fact)
    ]
    lengths = [len(place.ids) for place in (*work.places, *inputs)]
    seconds = 0.0
    sides = [retriever.tower(settings.tower) for retriever in context.models.values()]
    for encoder in (*sides, *(sides[:1] if context.settings.random_weights else ())):
        seconds += context.seconds_of(encoder, operations(encoder, lengths))
        layers, width = encoder.anatomy.n_blocks + 1, encoder.width
        points = sum(len(place.at) for place in inputs)
        vocabulary = len(encoder.tokenizer)
        looked_up = 2.0 * layers * points * width * (vocabulary + len(work.words))
        fitted = 6.0 * layers * settings.readout.steps * settings.readout.batch * width * (len(work.words) + width)
        seconds += (looked_up + fitted) / context.product_rate
    return seconds


def retention_work(planned: Planned) -> RetentionWork:
    """Return the prepared inputs (facts, wordings, neutral text) that are stored in a plan of this analysis."""
    return cast(RetentionWork, planned.work)
