"""Compare one backbone with several retrievers in Python."""

from collections.abc import Sequence

from retroscope.collection.collection import Collection
from retroscope.display import Shown
from retroscope.encoders.encoder import Retriever
from retroscope.files.reading import PathLike
from retroscope.inputs.settings import StudySettings
from retroscope.study.run import compare
from retroscope.study.several.names import check_distinct
from retroscope.study.several.study_set import StudySet


def compare_all(
    before: Retriever,
    afters: Sequence[Retriever],
    collection: Collection,
    settings: StudySettings | None = None,
    *,
    also: Sequence[Collection] = (),
    cache: PathLike | None = None,
    progress: Shown = None,
) -> StudySet:
    """Measure a backbone and each of several retrievers fine-tuned from it in the same way, and return all studies.

    Each study is that of `compare`. The backbone encodes the texts only for the first study. For the other studies, its
    vectors are read from the cache.

    Args:
        before: the backbone.
        afters: retrievers of distinct names, e.g. checkpoints of one training, or competing models.
        collection, settings, also, cache, progress: as for `compare`.

    Raises:
        SettingsError: if two retrievers have the same name.
        EncoderError: if the layers of a retriever cannot be paired with those of the backbone.
    """
    check_distinct([after.name for after in afters])
    studies = {
        after.name: compare(before, after, collection, settings, also=also, cache=cache, progress=progress)
        for after in afters
    }
    return StudySet(studies)
