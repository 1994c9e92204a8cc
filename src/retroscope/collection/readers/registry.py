"""Table of the readers of data sets. A new layout needs a module in this folder and a line here.

`load_collection`, its errors and the table of layouts in docs/reference/data.md are made from this table.
"""

from retroscope.collection.readers import beir, hugging_face, irds, miracl, trec
from retroscope.collection.readers.facts import reader as facts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats.registry import ROW_READERS

READERS: dict[str, Reader] = {
    "beir": beir.READER,
    "trec": trec.READER,
    "miracl": miracl.READER,
    **ROW_READERS,
    "facts": facts.READER,
    "hf": hugging_face.READER,
    "ir_datasets": irds.READER,
}
