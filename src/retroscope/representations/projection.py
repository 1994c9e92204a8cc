"""Project vectors onto the vocabulary by a language-model head, to get the most probable words of a vector.

This follows Ram et al., "What are you token about?" (ACL 2023, arXiv 2212.10380). The distribution of a vector v over
the vocabulary is softmax(head(v)), and the vector decodes to its most probable tokens. Tokens are compared as
lower-case words, without the marks of word boundaries ("##", "Ġ"). Special tokens, and tokens without a letter or
digit, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.language_heads import LanguageHead
from retroscope.encoders.encode import TokenIds

BATCH_NUMBERS = 2**24  # logits that are in memory together
CONTINUES = "##"


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The vocabulary of a tokenizer as words: the word of every token, and which tokens are words.

    Attributes:
        words: word of every token, case-folded and without marks of word boundaries.
        says: for every token, whether it counts as a word (it is not special, and has a letter or digit).
    """

    words: tuple[str, ...]
    says: Bool[np.ndarray, "token"]

    def of(self, tokens: Sequence[int] | Int[np.ndarray, "n"]) -> list[str]:
        """Return the distinct words of these token ids, in order. Tokens that do not count as words are left out."""
        return list(dict.fromkeys(self.words[int(token)] for token in tokens if self.says[int(token)]))


def lexicon_of(tokenizer: PreTrainedTokenizerBase, size: int) -> Lexicon:
    """Return the words of a tokenizer's tokens, one for each of the `size` rows of the language-model head.

    Rows without a token of the tokenizer do not count as words.
    """
    n_tokens = min(size, len(tokenizer))
    special = {*tokenizer.all_special_ids}
    words = [tokenizer.decode([token]).strip().removeprefix(CONTINUES).casefold() for token in range(n_tokens)]
    says = [token not in special and any(c.isalnum() for c in word) for token, word in enumerate(words)]
    beyond = size - n_tokens
    return Lexicon((*words, *[""] * beyond), np.array([*says, *[False] * beyond]))


def mean_logits(head: LanguageHead, vectors: Float[np.ndarray, "text dim"]) -> Float[Tensor, "word"]:
    """Return the logits of the language-model head, averaged over texts.

    `top_tokens` subtracts them, because words that fit every text say little.
    """
    total = torch.zeros(head.vocabulary, dtype=torch.float64)
    for part in _parts(head, vectors):
        total += head.logits(part).double().sum(0).cpu()
    return (total / len(vectors)).float()


def top_tokens(
    head: LanguageHead,
    lexicon: Lexicon,
    vectors: Float[np.ndarray, "text dim"],
    k: int,
    centre: Float[Tensor, "word"] | None = None,
) -> Int[np.ndarray, "text k"]:
    """Return the `k` most probable tokens of each vector, best first, among those that are words.

    Args:
        vectors: pooled vectors of the last layer, or of a lower layer after the final norm.
        k: how many tokens are returned for each vector.
        centre: mean logits over texts, which are subtracted first. A vector then decodes to words that are more
            probable for it than for other vectors.
    """
    silent = torch.from_numpy(~lexicon.says)
    tokens = []
    for part in _parts(head, vectors):
        logits = head.logits(part).cpu()
        logits = logits if centre is None else logits - centre
        tokens.append(logits.masked_fill(silent, -torch.inf).topk(k, dim=1).indices)
    return np.asarray(torch.cat(tokens).numpy())


def own_words(lexicon: Lexicon, rows: Sequence[TokenIds]) -> list[frozenset[str]]:
    """Return the set of words that occur in each tokenised text."""
    return [frozenset(lexicon.of(row)) for row in rows]


@torch.inference_mode()
def _parts(head: LanguageHead, vectors: Float[np.ndarray, "text dim"]) -> list[Tensor]:
    size = max(1, BATCH_NUMBERS // head.vocabulary)
    return list(torch.split(torch.from_numpy(vectors), size))
