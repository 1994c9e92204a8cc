"""Read facts as a retrieval collection: questions, and the passages that state their facts.

A file is recognised by the fields `id`, `relation`, `subject`, `object` and `cloze` of its first row.
"""

from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.facts.questions import facts_as_collection
from retroscope.collection.readers.facts.layouts import LAYOUTS
from retroscope.collection.readers.fields import refuse_unknown_words
from retroscope.collection.readers.options import ReadOptions, collection_name
from retroscope.collection.readers.reader import Reader


def recognises(path: Path) -> bool:
    """Return whether a file contains facts in Retroscope's own layout (JSON lines)."""
    return LAYOUTS["facts"].recognises(path)


def read(path: Path, options: ReadOptions) -> Collection:
    """Read facts as a collection whose queries are their questions. Facts without question or passage are left out."""
    options.refuse_split("facts")
    refuse_unknown_words(options.columns, ())
    return facts_as_collection(LAYOUTS["facts"].read(path), collection_name(path))


READER = Reader(layout="file of rows", judgments="each row", recognises=recognises, read=read)
