"""Recognise errors of any library that were caused by a full or read-only disk."""

import errno
from collections.abc import Iterator

from retroscope.errors import SettingsError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
# What libraries say that pass on a text instead of the number of the system: safetensors and tokenizers, torch.
TEXTS = (
    "(os error 28)",
    "(os error 122)",
    "(os error 27)",
    "PytorchStreamWriter failed writing",
    "inline_container.cc",
)


def is_full(error: BaseException) -> bool:
    """Return whether an error was caused by a full disk."""
    return any(
        cause.errno in FULL if isinstance(cause, OSError) else any(text in str(cause) for text in TEXTS)
        for cause in _chain(error)
    )


def refused_by_system(error: BaseException) -> SettingsError | None:
    """Return the error for a full or read-only disk, or for missing permission, or None for other errors."""
    refusals = [cause for cause in _chain(error) if isinstance(cause, OSError) and cause.errno in (*FULL, *CLOSED)]
    where = str(refusals[0].filename or "") if refusals else ""
    if is_full(error):
        return disk_full(where)
    if not refusals:
        return None
    return SettingsError(
        f"the operating system refused access: {refusals[0].strerror}",
        where=where,
        fix="change the permissions, or give another file or folder",
    )


def disk_full(where: str) -> SettingsError:
    """Return the error that reports a full disk."""
    return SettingsError(
        "the disk is full", where=where, fix="free some space and repeat the command, which continues where it stopped"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it."""
    known: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in known:
        known.append(current)
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
