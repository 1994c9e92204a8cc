"""Load the tokenizer of a checkpoint, and give it a pad token that has a row in the embedding."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers.normalizers import Lowercase, Normalizer, Sequence
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.errors import EncoderError, excerpt
from retroscope.files.git_lfs import refuse_pointer
from retroscope.files.reading import foreign

MOST_OF_ONE = 1_000  # characters that a normaliser may make of one letter
# Without one of these, the library may hand out an empty tokenizer of the family, without a word.
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has its own tokenizer."""
    return any(any(folder.glob(name)) for name in VOCABULARIES)


def load_tokenizer(path: Path, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a folder or GGUF file without changes."""
    add_it = f"put the tokenizer's files beside the weights (one of {', '.join(VOCABULARIES)})"
    if path.is_dir() and not has_tokenizer(path):
        raise EncoderError(
            "there is no tokenizer in this checkpoint",
            where=str(path),
            fix=f"put the tokenizer's files beside the weights (one of {', '.join(VOCABULARIES)})",
        )
    for file in (file for name in VOCABULARIES for file in path.glob(name)):
        refuse_pointer(file, EncoderError)
    gguf = {"gguf_file": path.name} if path.is_file() else {}
    folder = path.parent if path.is_file() else path
    with foreign(EncoderError, "cannot load the tokenizer", path, add_it), quiet():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code, **gguf
        )
        _check_growth(tokenizer, path)
    return tokenizer


def _check_growth(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Refuse a tokenizer whose normaliser makes a long text of one letter, which would fill the memory."""
    normalizer = tokenizer.backend_tokenizer.normalizer if tokenizer.is_fast else None
    length = 1 if normalizer is None else len(normalizer.normalize_str("a"))
    if length > MOST_OF_ONE:
        raise EncoderError(
            f"the normaliser of the tokenizer makes {length:,} characters of one letter",
            where=str(path),
            fix="use the tokenizer that was saved with these weights",
        )


def check_rows(tokenizer: PreTrainedTokenizerBase, rows: int, where: str) -> None:
    """Refuse a tokenizer with tokens that have no row in the embedding. Special tokens may lack one."""
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    beyond = [token for token, number in tokenizer.get_vocab().items() if number >= rows and number not in special]
    if beyond:
        raise EncoderError(
            f"the tokenizer has {len(beyond)} tokens without a row in the embedding matrix of {rows} rows, e.g. "
            f"{excerpt(beyond[0])}",
            where=where,
            fix="use the tokenizer that was saved with these weights",
        )


def check_token_ids(rows: Iterable[list[int]], tokenizer: PreTrainedTokenizerBase, size: int, where: str) -> None:
    """Refuse token ids that have no row in an embedding matrix of `size` rows, e.g. of a special token in a text."""
    beyond = next((number for row in rows for number in row if number >= size), None)
    if beyond is not None:
        raise EncoderError(
            f"the token {excerpt(tokenizer.convert_ids_to_tokens(beyond))} of a text has the id {beyond}, but the "
            f"embedding matrix has only {size} rows",
            where=where,
            fix="use the tokenizer that was saved with these weights",
        )


def check_room(
    tokenizer: PreTrainedTokenizerBase, around: str, *, append_eos: bool, max_length: int, where: str
) -> None:
    """Refuse a maximum length that leaves no token of a text beside its prompt and the special tokens.

    Every text would have the same vector. Where the special tokens alone are more, tokenizers do not cut texts at all.

    Args:
        around: prompt and suffix.
    """
    tokens = tokenizer(around, verbose=False)["input_ids"]  # a prompt may be longer than all models read
    taken = len(tokens) + (append_eos and tokens[-1:] != [tokenizer.eos_token_id])
    if max_length <= taken:
        raise EncoderError(
            f"max_length {max_length} leaves no token of a text: its special tokens and its prompt are {taken} tokens",
            where=where,
            fix="raise max_length (--max-length), or shorten the prompt (--query-prompt, --passage-prompt)",
        )


def ensure_padding(tokenizer: PreTrainedTokenizerBase, vocab_size: int, where: str) -> str:
    """Give the tokenizer a pad token if it has none with a row in the embedding. Return the pad token's source.

    EOS or UNK then pads. Any token is suitable, because padding is masked in attention and in pooling.
    """
    pad = tokenizer.pad_token_id
    if pad is not None and pad < vocab_size:
        return "checkpoint: tokenizer"
    reason = "the tokenizer has no pad token" if pad is None else "the pad token has no row in the embedding"
    for name in ("eos_token", "unk_token"):
        token = getattr(tokenizer, name)
        if token is not None and tokenizer.convert_tokens_to_ids(token) < vocab_size:
            tokenizer.pad_token = token
            return f"default: {reason}, so {name} ({token}) pads; it is masked"
    raise EncoderError(
        f"{reason}, and the tokenizer has no EOS or UNK token to pad with",
        where=where,
        fix="set pad_token in tokenizer_config.json to a token of the vocabulary",
    )


def lower_case(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a tokenizer lower-case every text first (sentence-transformers' `do_lower_case`)."""
    backend = tokenizer.backend_tokenizer
    before: list[Normalizer] = [backend.normalizer] if backend.normalizer is not None else []
    backend.normalizer = Sequence([Lowercase(), *before])
