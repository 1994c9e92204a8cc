"""Check the header of a GGUF file before its tensors are read."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader

from retroscope.errors import EncoderError, excerpt
from retroscope.files.git_lfs import refuse_pointer
from retroscope.files.reading import check_file, foreign

ASKED = ("block_count", "embedding_length", "feed_forward_length", "head_count", "head_count_kv", "key_length",
         "value_length", "vocab_size", "dimension_count")  # fmt: skip
MOST_TOKENS = 2**28  # of a text


class _WholeReader(GGUFReader):  # type: ignore[misc]  # the library has no types
    """GGUF reader that raises an error at the end of a truncated file. The library's own reader would loop."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        end = int(offset) + int(np.dtype(dtype).itemsize) * int(count)
        if end > len(self.data):
            raise ValueError("the file is truncated: it ends before the size that its header gives")
        return super()._get(offset, dtype, count, override_order)


def tensor_names(file: Path) -> set[str]:
    """Return the names of the tensors in a file.

    Raises:
        EncoderError: for a damaged file, or a size in the header that is larger than the tensors allow.
    """
    check_file(file, EncoderError)
    refuse_pointer(file, EncoderError)
    with foreign(EncoderError, "damaged GGUF", file):
        reader = _WholeReader(file)
        largest = max([len(reader.tensors), *(int(size) for tensor in reader.tensors for size in tensor.shape)])
        for name, field in reader.fields.items():
            asked = name.rpartition(".")[2]
            most = largest if asked in ASKED else MOST_TOKENS if asked == "context_length" else None
            value = 0 if most is None else field.contents()
            if most is not None and isinstance(value, int | float) and not 0 <= value <= most:
                raise EncoderError(
                    f"the header field {name} is {excerpt(value)}, but must be from 0 to {most:,}",
                    where=str(file),
                    fix="convert the original model to GGUF again",
                )
        return {str(tensor.name) for tensor in reader.tensors}
