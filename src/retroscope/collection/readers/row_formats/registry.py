"""Table of the row formats. A new format needs a module in this folder and a line here."""

from collections.abc import Mapping

from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.row_formats import (
    dpr,
    flag_embedding,
    ielab,
    mr_tydi,
    ms_marco,
    sentence_transformers,
    tevatron,
)
from retroscope.collection.readers.row_formats.examples import RowFormat, row_reader

ROW_FORMATS: Mapping[str, RowFormat] = {
    "ielab": ielab.FORMAT,
    "dpr": dpr.FORMAT,
    "tevatron": tevatron.LEGACY,
    "st": sentence_transformers.FORMAT,
    "msmarco": ms_marco.FORMAT,
    "flag": flag_embedding.FORMAT,
}
# Those that read more than one file of rows have a reader of their own.
ROW_READERS: Mapping[str, Reader] = {
    **{name: row_reader(form) for name, form in ROW_FORMATS.items()},
    "dpr": dpr.READER,
    "tevatron": tevatron.READER,
    "mrtydi": mr_tydi.READER,
}
