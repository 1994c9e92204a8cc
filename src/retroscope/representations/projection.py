"""Project vectors onto the vocabulary by a language-model head, to get the most probable words of a vector.

After Ram et al., "What are you token about?" (ACL 2023, arXiv 2212.10380): the distribution of a vector v over the
vocabulary is softmax(head(v)), and the vector decodes to its most probable tokens. Tokens are compared as words:
without case, word boundaries and continuation marks. Special tokens, and tokens without a letter or digit, are left
out.
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
        words: word of every token, folded.
        says: for every token, whether it counts as a word.
    """

    words: tuple[str, ...]
    says: Bool[np.ndarray, "token"]

    def of(self, tokens: Sequence[int] | Int[np.ndarray, "n"]) -> list[str]:
        """Return the distinct words of these token ids, in order. Tokens that are no words are left out."""
        return list(dict.fromkeys(self.words[int(token)] for token in tokens if self.says[int(token)]))


def lexicon_of(tokenizer: PreTrainedTokenizerBase, size: int) -> Lexicon:
    """Make the lexicon of the first `size` tokens. Head rows beyond the tokenizer's tokens are no words."""
    known = min(size, len(tokenizer))
    special = {*tokenizer.all_special_ids}
    words = [tokenizer.decode([token]).strip().removeprefix(CONTINUES).casefold() for token in range(known)]
    says = [token not in special and any(c.isalnum() for c in word) for token, word in enumerate(words)]
    beyond = size - known
    return Lexicon((*words, *[""] * beyond), np.array([*says, *[False] * beyond]))


def mean_logits(head: LanguageHead, vectors: Float[np.ndarray, "text dim"]) -> Float[Tensor, "word"]:
    """Return the mean logits over texts, which are subtracted because all texts share them."""
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
        vectors: pooled states of the last layer, or of a lower one after the final norm.
        centre: logits that are subtracted first, so that a vector decodes to the words that are more probable in it
            than in others.
    """
    silent = torch.from_numpy(~lexicon.says)
    found = []
    for part in _parts(head, vectors):
        logits = head.logits(part).cpu()
        logits = logits if centre is None else logits - centre
        found.append(logits.masked_fill(silent, -torch.inf).topk(k, dim=1).indices)
    return np.asarray(torch.cat(found).numpy())


def own_words(lexicon: Lexicon, rows: Sequence[TokenIds]) -> list[frozenset[str]]:
    """Return the words of each tokenised text."""
    return [frozenset(lexicon.of(row)) for row in rows]


@torch.inference_mode()
def _parts(head: LanguageHead, vectors: Float[np.ndarray, "text dim"]) -> list[Tensor]:
    size = max(1, BATCH_NUMBERS // head.vocabulary)
    return list(torch.split(torch.from_numpy(vectors), size))
