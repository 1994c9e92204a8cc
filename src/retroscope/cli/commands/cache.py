"""`retroscope cache`: list, verify, repair, clean or shrink the cache."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from retroscope.cli.defaults import option
from retroscope.cli.exit_codes import UNSOUND
from retroscope.cli.groups import flat
from retroscope.cli.loading import load_libraries
from retroscope.cli.options import shared as o
from retroscope.cli.values import in_bytes

EXAMPLE = "retroscope cache --clean --max-size 50GiB"


@dataclass(frozen=True, kw_only=True)
class CareOptions:
    """Options that verify, repair, clean or shrink the cache."""

    HEADING: ClassVar[str] = "Care"

    verify: Annotated[bool, option("--verify", help="Read every file of the cache and name the damaged files")] = False
    repair: Annotated[
        bool,
        option(
            "--repair",
            help="Remove damaged entries of the cache; the next run that needs such an entry computes it again",
        ),
    ] = False
    clean: Annotated[
        bool,
        option(
            "--clean",
            help="Remove partial files of killed runs, and entries that only other versions of Retroscope or of its "
            "libraries could use",
        ),
    ] = False
    max_size: Annotated[
        str | None,
        option("--max-size", help="Remove the least recently used entries until the cache is at most of this "
                                  "size, e.g. 20GiB",
               metavar="SIZE", default="no limit"),
    ] = None  # fmt: skip


@flat()
def run(care: CareOptions, cache: o.Cache = None, as_json: o.Json = False) -> None:
    """List, verify, repair, clean or shrink the cache.

    The cache holds vectors and intermediate results. Each entry is listed with its size, the time of its last use, and
    its models, collection or analysis. The next run that needs a removed entry computes it again. The exit status
    of --verify is 1 if a file is damaged.
    """
    size = in_bytes(care.max_size, "--max-size")
    load_libraries()
    from retroscope.cli.terminal import emit, say
    from retroscope.display import progress_bars
    from retroscope.inputs.cache import default_cache
    from retroscope.study.cache.care import Removed, clean_cache, repair_cache, shrink_cache, verify_cache
    from retroscope.study.cache.listing import cache_document, cache_text

    folder, removed, damaged = cache or default_cache(), Removed(), None
    with progress_bars() as progress:
        if care.repair:
            removed += repair_cache(folder, progress)
        if care.verify:
            damaged = verify_cache(folder, progress)
    if care.clean:
        removed += clean_cache(folder)
    if size is not None:
        removed += shrink_cache(folder, size)
    document = cache_document(folder, removed, damaged)
    emit(document) if as_json else say(cache_text(document))
    if damaged:
        raise typer.Exit(UNSOUND)
