"""Results of two kinds of checks: that all weights come from the checkpoint, and self-tests. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadingProof:
    """Evidence that every weight came from the checkpoint.

    Attributes:
        source: folder or name that was read, with its revision or file hash where known.
        loaded: number of tensors that came from the checkpoint.
        missing: model tensors that the checkpoint lacks and that are known not to matter (unused heads, e.g. BERT's
            pooler under mean pooling). Any other missing tensor is an error on load.
        unexpected: checkpoint tensors that the model does not use (known unused heads).
        counted: True if the tensors were only counted, not compared value by value (quantised files).
        wrapper: class with which other tools must load the checkpoint, if it wraps the backbone, e.g.
            "DPRContextEncoder"; "" otherwise.
        notes: other facts for the report, in words (adapter merged, tied weights ...).
        library_folder: folder from which sentence-transformers loads the same weights, or "" if there is none. The
            weights may lie in a folder inside it.
    """

    source: str
    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    counted: bool = False
    wrapper: str = ""
    notes: tuple[str, ...] = ()
    library_folder: str = ""


@dataclass(frozen=True)
class SelfTest:
    """The outcome of one self-test, which an encoder must pass before its vectors are used.

    Attributes:
        name: name of the test, e.g. "padding_left".
        value: the largest distance between two vectors that should be equal, relative to their length.
        tolerance: the distance that float rounding explains. A larger one is a fault.
        detail: what was compared, in words.
    """

    name: str
    passed: bool
    value: float
    tolerance: float
    detail: str = ""
