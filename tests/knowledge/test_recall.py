"""A model that knows one fact recalls that fact, and no other; controls are at chance."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from known_fact import KNOWN, MEAN, OBJECTS, colour_facts, knowing_model, random_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from retroscope.collection.facts.records import MASK, Fact, make_facts
from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.loading import load_encoder
from retroscope.knowledge.askable import askable_facts
from retroscope.knowledge.clozes import RelationClozes, answered, relation_clozes
from retroscope.knowledge.readouts import HEAD, HeadReadout
from retroscope.knowledge.recall import (
    LOG_P,
    MEASURES,
    P1,
    RR,
    SHUFFLED,
    TIED,
    measured,
    most_frequent,
    other_subjects,
    recall,
)
from retroscope.knowledge.states import states_at
from toys import tokenizer


def clozes_of(kind: str, style: str, wording: int = 0) -> RelationClozes:
    clozes = relation_clozes(tokenizer(style), kind, list(enumerate(colour_facts().facts)), wording)
    assert clozes is not None
    return clozes


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_the_one_fact_that_a_model_knows_is_recalled_and_no_other(name: str, tmp_path: Path) -> None:
    encoder = knowing_model(name, tmp_path / name)
    head = load_language_head(tmp_path / name)
    assert isinstance(head, LanguageHead)
    clozes = relation_clozes(encoder.tokenizer, head.kind, list(enumerate(colour_facts().facts)), 0)
    assert clozes is not None
    recalled = recall(encoder, clozes, {HEAD: HeadReadout(head)}, seed=0)
    last = recalled.measures[0, -1]
    hits = last[:, MEASURES.index(P1)]
    assert hits[KNOWN] == 1
    assert last[KNOWN, MEASURES.index(LOG_P)] > -0.5
    others = np.delete(np.arange(len(OBJECTS)), KNOWN)
    assert last[others, MEASURES.index(LOG_P)].max() < -1  # nothing above chance, log(1/6) = -1.79
    assert hits[others].mean() < 0.5
    assert last[KNOWN, MEASURES.index(SHUFFLED)] == 0  # the cloze of another subject does not give the answer
    assert recalled.first[0, -1, KNOWN] == KNOWN


@pytest.mark.parametrize(("name", "style", "kind"), [("llama", "llama", "causal"), ("bert", "bert", "masked")])
def test_scores_are_mean_log_probabilities_of_the_whole_model(name: str, style: str, kind: str, tmp_path: Path) -> None:
    """By hand: every object of every fact, one by one, with transformers' own class."""
    whole = random_model(name, tmp_path / name)
    encoder = load_encoder(tmp_path / name, MEAN)
    head = load_language_head(tmp_path / name)
    clozes = clozes_of(kind, style)
    assert isinstance(head, LanguageHead)
    assert max(map(len, clozes.tokens)) > 1  # objects of several tokens are among them
    by_hand = np.zeros((len(OBJECTS), len(OBJECTS)))
    for fact, context in enumerate(clozes.contexts):
        for number, tokens in enumerate(clozes.tokens):
            insert = list(tokens) if kind == "causal" else [encoder.tokenizer.mask_token_id] * len(tokens)
            after = [] if kind == "causal" else context.after
            with torch.inference_mode():
                logits = whole(input_ids=torch.tensor([[*context.before, *insert, *after]])).logits[0].log_softmax(-1)
            start = len(context.before) - (kind == "causal")
            by_hand[fact, number] = np.mean([float(logits[start + k, token]) for k, token in enumerate(tokens)])
    own = by_hand[np.arange(len(OBJECTS)), np.arange(len(OBJECTS))]
    recalled = recall(encoder, clozes, {HEAD: HeadReadout(head)}, seed=0)
    told = recalled.measures[0, -1]
    np.testing.assert_allclose(told[:, MEASURES.index("log p a token")], own, atol=1e-5)
    np.testing.assert_allclose(told[:, MEASURES.index(LOG_P)], own - np.logaddexp.reduce(by_hand, axis=1), atol=1e-5)
    ranks = 1 + (by_hand > own[:, None]).sum(1)
    np.testing.assert_allclose(told[:, MEASURES.index(RR)], 1 / ranks, atol=1e-6)


def test_padding_does_not_change_states(tmp_path: Path) -> None:
    encoder = knowing_model("llama", tmp_path / "llama")
    clozes = clozes_of("causal", "llama")
    inputs = [one for fact in range(len(OBJECTS)) for one in clozes.places(fact)]
    together = states_at(encoder, inputs)
    alone = torch.cat([states_at(encoder, [one]) for one in inputs], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_an_object_is_what_stands_in_its_place() -> None:
    one = answered(tokenizer("bert"), "A [MASK] sat on a mat.", "cat")
    assert tokenizer("bert").decode(one.object).replace("▁", "").strip() == "cat"
    whole = tokenizer("bert")("A cat sat on a mat.")["input_ids"]
    assert [*one.before, *one.object, *one.after] == whole


def byte_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, in which a word has other tokens at the very beginning than after a space."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=["<s>", MASK], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token=MASK)


@pytest.mark.parametrize("at", range(3))
def test_the_order_of_facts_does_not_decide_which_are_read(at: int) -> None:
    named = [("cat", "red"), ("mat", "blue"), ("dog", "green")]
    facts = [Fact(subject, "r", subject, colour, f"the {subject} is [MASK]") for subject, colour in named]
    facts[at] = replace(facts[at], cloze=f"[MASK] is the {facts[at].subject}")  # its object stands at the beginning
    texts = [text for subject, colour in named for text in (f"{colour} is the {subject}", f"the {subject} is {colour}")]
    found = relation_clozes(byte_tokenizer(texts), "masked", list(enumerate(facts)), 0)
    assert found is not None
    assert set(found.rows) == {0, 1, 2} - {at}


def test_a_causal_model_reads_no_cloze_whose_subject_comes_after_the_object() -> None:
    facts = [
        (0, Fact("a", "r", "cat", "red", "red is the cat: [MASK]", ("[MASK] is the cat",))),
        (1, Fact("b", "r", "mat", "blue", "blue is the mat: [MASK]", ("[MASK] is the mat",))),
    ]
    assert relation_clozes(tokenizer("llama"), "causal", facts, 1) is None
    assert relation_clozes(tokenizer("bert"), "masked", facts, 1) is not None
    assert relation_clozes(tokenizer("bert"), "masked", facts, 2) is None


def test_other_right_answers_are_no_competitors() -> None:
    facts = make_facts(
        [
            Fact("a", "r", "cat", "red", "the cat is [MASK]"),
            Fact("b", "r", "cat", "warm", "the cat is [MASK]"),
            Fact("c", "r", "mat", "small", "the mat is [MASK]", others=("red",)),
        ]
    )
    clozes = relation_clozes(tokenizer("bert"), "masked", list(enumerate(facts.facts)), 0)
    assert clozes is not None
    assert clozes.right.tolist() == [[False, True, False], [True, False, False], [True, False, False]]
    scores = np.array([[1.0, 2.0, 0.0], [3.0, 1.0, 1.0], [5.0, 1.0, 2.0]], dtype=np.float32)
    told = measured(scores, clozes, np.array([2, 2, -1]))
    assert told[:, MEASURES.index(P1)].tolist() == [1, 0.5, 1]  # a tie is shared
    assert told[:, MEASURES.index(RR)].tolist() == [1, 1 / 1.5, 1]
    assert told[:2, MEASURES.index(SHUFFLED)].tolist() == [1, 0]
    assert np.isnan(told[2, MEASURES.index(SHUFFLED)])


def test_a_fact_without_a_competitor_is_not_asked() -> None:
    """Its P@1 is 1 for every model: all objects of its relation are right answers. They stay candidates of others."""
    alone = [Fact("a", "r", "cat", "red", "the cat is [MASK]"), Fact("b", "r", "cat", "warm", "the cat is [MASK]")]
    other = Fact("c", "r", "mat", "red", "the mat is [MASK]")
    bert = tokenizer("bert")
    assert relation_clozes(bert, "masked", list(enumerate(alone[:1])), 0) is None
    assert relation_clozes(bert, "masked", list(enumerate(alone)), 0) is None
    clozes = relation_clozes(bert, "masked", list(enumerate([*alone, other])), 0)
    assert clozes is not None
    assert (clozes.rows, clozes.objects) == ((2,), ("red", "warm"))
    assert [fact.id for fact in askable_facts(bert, [*alone, other]).alone] == ["a", "b"]


def test_an_object_that_is_unknown_to_the_tokenizer_is_not_asked_and_no_candidate() -> None:
    words = byte_free_tokenizer(["cat", "mat", "is", "red", "blue"])
    named = [("cat", "red"), ("mat", "blue"), ("cat", "vermilion"), ("mat", "dark vermilion")]
    facts = [Fact(f"{k}", "r", subject, one, f"{subject} is [MASK]") for k, (subject, one) in enumerate(named)]
    chosen = askable_facts(words, facts)
    assert [fact.id for fact in chosen.known] == ["0", "1"]
    assert [fact.id for fact in chosen.unknown] == ["2", "3"]
    assert not chosen.alone
    left = askable_facts(words, [facts[0], facts[2]])
    assert [fact.id for fact in left.alone] == ["0"], "an unknown object is no competitor"


def byte_free_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows these words and no others; every other word is one and the same token."""
    special = ["[UNK]", MASK]
    backend = Tokenizer(models.WordLevel({w: k for k, w in enumerate([*special, *words])}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single="[UNK] $A", special_tokens=[("[UNK]", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", mask_token=MASK)


def test_an_answer_that_shares_its_tokens_with_another_object_counts_as_not_read() -> None:
    """No model tells "US" from "us": its score is right for one of two facts at most, and nobody knows for which."""
    words = byte_free_tokenizer(["cat", "mat", "dog", "is", "us", "red"])
    named = [("cat", "US"), ("mat", "us"), ("dog", "red")]
    facts = [Fact(subject, "r", subject, one, f"{subject} is [MASK]") for subject, one in named]
    clozes = relation_clozes(words, "masked", list(enumerate(facts)), 0)
    assert clozes is not None
    assert clozes.twins.tolist() == [[False, True, False], [True, False, False], [False] * 3]
    scores = np.array([[9.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 9.0]], dtype=np.float32)
    told = measured(scores, clozes, np.array([1, 0, 0]))
    assert told[:, MEASURES.index(P1)].tolist() == [0, 0, 1]
    assert told[:, MEASURES.index(RR)].tolist() == [0.5, 0.5, 1]
    assert most_frequent(clozes).tolist() == [0, 0, pytest.approx(1 / 3)]
    synonyms = [replace(facts[0], others=("us",)), *facts[1:]]
    clozes = relation_clozes(words, "masked", list(enumerate(synonyms)), 0)
    assert clozes is not None
    assert not clozes.twins[0].any(), "a right answer is no competitor"


def test_what_a_model_reads_of_a_cloze_tells_wordings_apart() -> None:
    """A repeated cloze is no other one and, to a causal model, nor is one that differs after the object only."""
    clozes = ("the cat is [MASK] too", "the cat is [MASK] again", "every cat is [MASK] too", "the cat is [MASK] too")
    facts = [Fact("a", "r", "cat", "red", clozes[0], clozes[1:]), Fact("b", "r", "mat", "warm", "the mat is [MASK]")]
    for kind, style, distinct in (("masked", "bert", 3), ("causal", "llama", 2)):
        read = [relation_clozes(tokenizer(style), kind, list(enumerate(facts)), k) for k in range(4)]
        contexts = [one.context(0) for one in read if one is not None]
        assert (len(contexts), len(set(contexts))) == (4, distinct)


def test_most_frequent_object_and_other_subjects() -> None:
    answers = np.array([0, 0, 0, 1, 2])
    clozes = RelationClozes(
        rows=tuple(range(5)), subjects=("k", "l", "m", "n", "n"), contexts=(),
        objects=("a", "b", "c"), tokens=((1,), (2,), (3,)), answers=answers,
        right=np.zeros((5, 3), dtype=bool), kind="masked", mask=0,
    )  # fmt: skip
    assert most_frequent(clozes).tolist() == [1, 1, 1, 0, 0]
    others = other_subjects(clozes.subjects, seed=0)
    assert all(clozes.subjects[other] != own for own, other in zip(clozes.subjects, others, strict=True))
    assert other_subjects(["a"] * 3, seed=0).tolist() == [-1, -1, -1]


@dataclass(frozen=True)
class FlatReadout:
    """A read-out to which all tokens are equally likely."""

    vocabulary: int
    columns: torch.Tensor | None = None

    def log_probabilities(self, layer: int, states: torch.Tensor) -> torch.Tensor:
        return torch.full((len(states), self.vocabulary), -np.log(self.vocabulary))


def test_equal_scores_share_their_ranks_and_agree_with_no_other_wording(tmp_path: Path) -> None:
    encoder = knowing_model("bert", tmp_path / "bert")
    clozes = relation_clozes(encoder.tokenizer, "masked", list(enumerate(colour_facts().facts)), 0)
    assert clozes is not None
    tokens = len(encoder.tokenizer)
    flat = recall(encoder, clozes, {HEAD: FlatReadout(tokens)}, seed=0)
    assert np.nanmin(flat.vocabulary) == np.nanmax(flat.vocabulary) == (1 + tokens) / 2
    assert flat.measures[0, -1, :, MEASURES.index(P1)] == pytest.approx(1 / len(OBJECTS))
    assert (flat.first == TIED).all()


def test_a_model_that_knows_all_facts_reads_other_subjects_at_chance() -> None:
    """Chance is that two facts have the same object, not 0; and no more than the most frequent object."""
    answers = np.repeat([0, 1, 2], [100, 60, 40])
    clozes = RelationClozes(
        rows=tuple(range(200)), subjects=tuple(map(str, range(200))), contexts=(), objects=("a", "b", "c"),
        tokens=((1,), (2,), (3,)), answers=answers, right=np.zeros((200, 3), dtype=bool), kind="masked", mask=0,
    )  # fmt: skip
    told = measured(np.eye(3)[answers], clozes, other_subjects(clozes.subjects, seed=0))
    assert told[:, MEASURES.index(P1)].mean() == 1
    other = told[:, MEASURES.index(SHUFFLED)].mean()
    assert other == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.08)
    assert other < most_frequent(clozes).mean()
