"""Names of the retrievers of a set and of their folders, known before a model is loaded. No torch."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from retroscope.encoders.settings import short_name
from retroscope.errors import SettingsError, listed
from retroscope.study.folder import MEASURED, REPORTED

if TYPE_CHECKING:
    from retroscope.inputs.settings import ModelSettings

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
TAKEN = (MEASURED, *REPORTED)  # folders of a single study
OTHER = "give this retriever another name: --name-after NAME, once for every AFTER, in their order"
FIX = "give every retriever another name: --name-after NAME, once for every AFTER, in their order"


def name_of(settings: "ModelSettings") -> str:
    """Return the name that a retriever will have once it is loaded."""
    sources = (settings.source, settings.query, settings.passage)
    return settings.load.name or " + ".join(dict.fromkeys(short_name(source) for source in sources if source))


def folder_name(name: str) -> str:
    """Convert a retriever's name to a folder name: letters, digits, dots, hyphens and underscores.

    Raises:
        SettingsError: if no letter or digit is left, or the name is reserved for a study's own folders.
    """
    folder = UNSAFE.sub("-", name).strip("-.")
    if folder in TAKEN:
        raise SettingsError(f"the retriever name {name!r} is reserved for a folder of each study", fix=OTHER)
    if not folder:
        raise SettingsError(f"the retriever name {name!r} has no letter or digit (a-z, 0-9)", fix=OTHER)
    return folder


def check_distinct(names: Sequence[str]) -> list[str]:
    """Return the folder name of every retriever, and refuse folder names that are equal or differ only in case.

    Raises:
        SettingsError: with the names that share a folder.
    """
    folders = [folder_name(name) for name in names]
    folded = [folder.casefold() for folder in folders]
    twice = [
        f"{name} ({n} of {len(names)})" for n, name in enumerate(names, start=1) if folded.count(folded[n - 1]) > 1
    ]
    if twice:
        raise SettingsError(f"these retrievers share a name:{listed(twice)}", where="AFTER", fix=FIX)
    return folders
