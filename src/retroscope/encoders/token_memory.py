"""TokenMemory: the token ids of texts that were read before, so that a study tokenises each text once a recipe."""

import hashlib
from array import array
from collections.abc import Callable, Sequence

BUDGET = 256 * 2**20  # bytes; what does not fit is tokenised again
OVERHEAD = 200  # bytes of a kept text besides its token ids


class TokenMemory:
    """Token ids by what tokenised them and the text; models whose tokenizers and recipes agree share them."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._rows: dict[bytes, array[int]] = {}
        self._left = budget

    def rows(
        self, reading: bytes, texts: Sequence[str], tokenise: Callable[[list[str]], list[list[int]]]
    ) -> list[list[int]]:
        """Return the token ids of every text.

        Args:
            reading: digest of what makes token ids of a text, 64 bytes at most.
            texts: any, in any order, repeated or not.
            tokenise: called with those that are not known, each once.
        """
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=reading, digest_size=16).digest()
                for text in texts]  # fmt: skip
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        new = dict(zip(unknown, tokenise(list(unknown.values())), strict=True)) if unknown else {}
        rows = [list(new[key]) if key in new else self._rows[key].tolist() for key in keys]
        for key, row in new.items():
            self._keep(key, row)
        return rows

    def _keep(self, key: bytes, row: Sequence[int]) -> None:
        kept = array("i", row)
        size = OVERHEAD + kept.itemsize * len(kept)
        if size <= self._left:
            self._left -= size
            self._rows[key] = kept
