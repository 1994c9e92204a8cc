"""Train a tokenizer for a new backbone on its pre-training text. Checking its kind does not import transformers."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from retroscope.errors import SettingsError, did_you_mean, excerpt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWEST_TOKENS, MOST_TOKENS = 16, 1_000_000  # of a vocabulary that is trained
SENTINELS = 32  # of T5's span corruption


@dataclass(frozen=True)
class Specials:
    """Special tokens of a model family, and how they are added to a text.

    Attributes:
        names: name of the token in transformers, e.g. "pad_token" -> the token.
        around: template of a text with its special tokens, e.g. "[CLS] $A [SEP]".
    """

    names: Mapping[str, str]
    around: str


SPECIALS: Mapping[str, Specials] = {
    "bert": Specials(
        {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        "[CLS] $A [SEP]",
    ),
    "llama": Specials(
        {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}, "<s> $A </s>"
    ),
    "t5": Specials({"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}, "$A </s>"),
}


def _words(unknown: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _wordpiece(unknown: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _bpe(unknown: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


# Kind -> (the empty tokenizer, its trainer).
KINDS: Mapping[str, tuple[Callable[[str], Tokenizer], Callable[..., Any]]] = {
    "words": (_words, trainers.WordLevelTrainer),
    "wordpiece": (_wordpiece, trainers.WordPieceTrainer),
    "bpe": (_bpe, trainers.BpeTrainer),
}


def parse_kind(text: str) -> tuple[str, int]:
    """Parse a kind of tokenizer (such as "wordpiece:8000") to its name and the largest vocabulary size.

    The size is 30,000 if none is given.

    Raises:
        SettingsError: for an unknown kind or a size that is not possible.
    """
    kind, _, size = text.partition(":")
    if kind not in KINDS or not re.fullmatch(r"[0-9]{0,7}", size):
        raise SettingsError(
            f"unknown kind of tokenizer {excerpt(text)}",
            fix=f"{did_you_mean(kind, KINDS)}, e.g. wordpiece:8000",
        )
    tokens = int(size or 30000)
    if not FEWEST_TOKENS <= tokens <= MOST_TOKENS:
        raise SettingsError(
            f"a vocabulary cannot have {tokens:,} tokens", fix=f"give {FEWEST_TOKENS} to {MOST_TOKENS:,} tokens"
        )
    return kind, tokens


def train_tokenizer(
    texts: Iterable[str], kind: str, family: str, *, max_length: int, extra: Iterable[str] = ()
) -> "PreTrainedTokenizerBase":
    """Train a tokenizer on texts, with the special tokens of a model family ("bert", "llama" or "t5").

    Args:
        texts: the pre-training texts.
        kind: "words", "wordpiece" or "bpe", with the largest vocabulary size: see `parse_kind`.
        max_length: largest number of tokens of a text.
        extra: further texts for the vocabulary, e.g. those of the collection that will be searched.
    """
    from transformers import PreTrainedTokenizerFast

    name, size = parse_kind(kind)
    specials = SPECIALS[family]
    sentinels = [f"<extra_id_{i}>" for i in range(SENTINELS)] if family == "t5" else []
    make, trainer = KINDS[name]
    tokenizer = make(specials.names["unk_token"])
    alphabet = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()} if name == "bpe" else {}
    tokens = [*specials.names.values(), *sentinels]
    tokenizer.train_from_iterator(
        [*texts, *extra], trainer(vocab_size=size, special_tokens=tokens, show_progress=False, **alphabet)
    )
    around = [
        (token, tokenizer.token_to_id(token)) for token in specials.names.values() if token in specials.around.split()
    ]
    tokenizer.post_processor = processors.TemplateProcessing(single=specials.around, special_tokens=around)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        extra_special_tokens=sentinels,
        **specials.names,
    )
