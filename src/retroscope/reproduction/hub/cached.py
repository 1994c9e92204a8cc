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
    """Use only the given hub cache, without a network, while the context is open; None: change nothing."""
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
    """Return the folder of a data set's parquet files, and download them if they are not cached.

    Args:
        source: hub name of the data set.
        folder: folder of the parquet files in its repository.
        revision: branch or commit.

    Raises:
        CollectionError: if the download fails.
    """
    fix = "check the network, or download it first: --display-commands prints how"
    with foreign(CollectionError, f"cannot download the data set {excerpt(source)} from the hub", "", fix):
        snapshot = snapshot_download(
            source, repo_type="dataset", revision=revision, allow_patterns=[f"{folder}/*.parquet", SMOKE_MARK]
        )
    return Path(snapshot) / folder


def commits(sources: Sequence[str], data: Path, data_source: str) -> dict[str, str]:
    """Map the hub names of a trial's model and data set to the commits that were used.

    Args:
        sources: hub names of the model's parts.
        data: folder of the data set's parquet files.
        data_source: hub name of the data set.
    """
    of_models = {source: locate(source).name for source in sources}
    return {**of_models, data_source: data.parent.name}


def is_made_up(sources: Sequence[str], data: Path) -> bool:
    """Return whether weights or data come from the made-up hub of `--scale smoke`."""
    return any((place / SMOKE_MARK).exists() for place in (*(locate(source) for source in sources), data.parent))
