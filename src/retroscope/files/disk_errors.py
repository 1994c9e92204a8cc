"""Recognise errors, raised by any library, that were caused by a full or read-only disk."""

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
    """Return whether an error, or one of the errors that caused it, reports a full disk."""
    return any(
        cause.errno in FULL if isinstance(cause, OSError) else any(text in str(cause) for text in TEXTS)
        for cause in _chain(error)
    )


def refused_by_system(error: BaseException) -> SettingsError | None:
    """Return the error to show to the user if `error` was caused by a full or read-only disk or missing permission.

    Return None for any other cause.
    """
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
    """Return the error that reports a full disk to the user. `where` is the file that was written, or ""."""
    return SettingsError(
        "the disk is full", where=where, fix="free some space and repeat the command, which continues where it stopped"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then the error that caused it, then that error's cause, and so on."""
    visited: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in visited:
        visited.append(current)
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
