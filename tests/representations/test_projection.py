"""A vector's words are those of the formula by hand, softmax(head(v)), without what is no word."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForMaskedLM, LlamaForCausalLM, PreTrainedModel

from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.encode import encode_rows, tokenise
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.representations.projection import lexicon_of, mean_logits, own_words, top_tokens
from toys import BERT_LIKE, GROUPED, TEXTS, scatter, tokenizer

WHOLE = {
    "bert": (BertForMaskedLM, BERT_LIKE, "bert", "cls"),
    "llama": (LlamaForCausalLM, GROUPED, "llama", "last_token"),
}


def save_whole(family: str, folder: Path) -> PreTrainedModel:
    """Save a model with its language-model head, every weight random."""
    cls, shape, style, _ = WHOLE[family]
    tokens = tokenizer(style)
    config = cls.config_class(vocab_size=len(tokens), pad_token_id=tokens.pad_token_id, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = scatter(cls(config), 0)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", WHOLE)
def test_what_a_vector_says_is_what_the_whole_model_predicts(family: str, tmp_path: Path) -> None:
    model, pooling = save_whole(family, tmp_path), WHOLE[family][3]
    encoder = load_encoder(tmp_path, LoadSettings(pooling=pooling))
    head = load_language_head(tmp_path)
    assert isinstance(head, LanguageHead)
    rows = tokenise(encoder, TEXTS)
    vectors = encode_rows(encoder, rows).layers[:, -1].numpy()
    lexicon = lexicon_of(encoder.tokenizer, head.vocabulary)
    said = top_tokens(head, lexicon, vectors, 5)
    for row, found in zip(rows, said, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0, 0 if pooling == "cls" else -1]
        chances = logits.softmax(0).numpy()
        order = [token for token in np.argsort(-chances, kind="stable") if lexicon.says[token]]
        assert list(found) == order[:5]
    centre = mean_logits(head, vectors)
    by_hand = head.logits(torch.from_numpy(vectors)).mean(0)
    assert torch.allclose(centre, by_hand, atol=1e-4)
    centred = head.logits(torch.from_numpy(vectors)) - by_hand
    best = [max(np.flatnonzero(lexicon.says), key=lambda token, row=row: float(row[token])) for row in centred]
    assert [row[0] for row in top_tokens(head, lexicon, vectors, 1, centre)] == best


def test_words_are_folded_and_what_is_no_word_says_nothing() -> None:
    tokens = tokenizer("bert")
    lexicon = lexicon_of(tokens, len(tokens) + 3)
    assert len(lexicon.words) == len(tokens) + 3
    assert not lexicon.says[-3:].any(), "rows of a head beyond the tokenizer"
    assert not lexicon.says[tokens.all_special_ids].any()
    full_stop = tokens.convert_tokens_to_ids(".")
    assert not lexicon.says[full_stop]
    row = tokens("A cat sat on a mat.")["input_ids"]
    (words,) = own_words(lexicon, [row])
    assert words
    assert all(word == word.casefold().strip() for word in words)
    assert lexicon.of([*row, *row]) == lexicon.of(row), "each word once"
