"""Import the libraries that run models, and print a note, because this takes most of a command's start time."""

import gc
import sys
from typing import TYPE_CHECKING

from retroscope.cli.terminal import note

if TYPE_CHECKING:
    from retroscope.cli.running import Destination


def load_libraries() -> None:
    """Print a note, then import torch and transformers, for commands that need both.

    The imports create hundreds of thousands of objects that live until the program ends. Searching these objects for
    garbage takes a fifth of the import time, so the garbage collector is off during the imports and ignores the objects
    afterwards.
    """
    if "transformers.modeling_utils" in sys.modules:
        return
    note("loading torch and transformers ...")
    gc.disable()
    try:
        import transformers.modeling_utils  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


def load_libraries_for(place: "Destination", *, dry_run: bool) -> None:
    """Check the output folders of a run (not in a dry run), then import torch and transformers."""
    if not dry_run:
        place.check()
    load_libraries()
