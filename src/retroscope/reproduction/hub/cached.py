"""Find models and data sets in the Hugging Face hub's cache, and their commits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, snapshot_download

from retroscope.encoders.checkpoints.folders import locate
from retroscope.errors import CollectionError, excerpt
from retroscope.files.reading import foreign

SMOKE_MARK = "RETROSCOPE_SMOKE"  # file in every snapshot of the made-up hub, whatever it is used for


@contextmanager
def hub_at(cache: Path | None) -> Iterator[None]:
    """Use this hub cache offline while the context is open. None uses the user's own cache."""
    if cache is None:
        yield
        return
    own = constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE
    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(cache), True  # its only switches besides the environment
    try:
        yield
    finally:
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = own


def data_folder(source: str, folder: str, revision: str) -> Path:
    """Return the folder of a data set's parquet files, downloaded unless it is cached.

    Raises:
        CollectionError: if the hub does not give it.
    """
    fix = "check the network, or download it first: --display-commands prints how"
    with foreign(CollectionError, f"cannot get data set {excerpt(source)} from the hub", "", fix):
        snapshot = snapshot_download(
            source, repo_type="dataset", revision=revision, allow_patterns=[f"{folder}/*.parquet", SMOKE_MARK]
        )
    return Path(snapshot) / folder


def commits(sources: Sequence[str], data: Path, data_source: str) -> dict[str, str]:
    """Map every hub name of a trial to the commit that was read."""
    read = {source: locate(source).name for source in sources}
    return {**read, data_source: data.parent.name}


def is_made_up(sources: Sequence[str], data: Path) -> bool:
    """Return whether weights or data come from the made-up hub, so that numbers cannot be compared with the paper's."""
    return any((place / SMOKE_MARK).exists() for place in (*(locate(one) for one in sources), data.parent))
