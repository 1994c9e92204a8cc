"""Results of two checks: the weights of an encoder are the checkpoint's, and padding changes nothing. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadingProof:
    """Evidence that every weight came from the checkpoint.

    Attributes:
        source: folder or name that was read, with its revision or file hash where known.
        loaded: number of tensors that came from the checkpoint.
        missing: model tensors that the checkpoint lacks and that are known not to matter (unused heads, e.g. BERT's
            pooler under mean pooling). Any other is an error on load.
        unexpected: checkpoint tensors that the model does not use (known unused heads).
        counted: whether the tensors were counted instead of compared value by value (quantised files).
        wrapper: name of the class around the backbone that the checkpoint was saved from, if other tools load the
            checkpoint by that class, or else empty.
        notes: other facts for the report, in words (adapter merged, tied weights ...).
        library_folder: the sentence-transformers folder from which that library loads the same weights, or else empty.
            The weights may lie in a folder inside it.
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
