"""Read judgments from rows with named columns: JSON lines, parquet, or rows of a hub data set.

A row has a query id, a passage id and a grade, under one of the names of `ID_COLUMNS` and `GRADE_COLUMNS`. Rows of two
columns (NanoBEIR) have no grade: each pair is relevant, and a note says so.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from retroscope.collection.places import RecordPlace
from retroscope.collection.readers.fields import missing_column, required_id
from retroscope.collection.readers.numbers import relevance_of
from retroscope.collection.readers.rows import Row
from retroscope.collection.readers.trec_files import PASSAGE_IDS, QUERY_IDS, is_grade_column
from retroscope.collection.records import Judgment
from retroscope.errors import CollectionError, excerpt

ID_COLUMNS = {
    "judged_query": QUERY_IDS,
    "judged_passage": PASSAGE_IDS,
}


@dataclass
class JudgmentReader:
    """Converter of rows to judgments. `mapping` records each field's column, `ungraded` counts rows without a grade.

    Errors name the file and the row.
    """

    mapping: dict[str, str] = field(default_factory=dict)
    ungraded: int = 0

    def judgments(self, rows: Iterable[Row]) -> Iterator[tuple[Judgment, RecordPlace]]:
        """Convert each row to a judgment and its location. The first row decides which columns are read."""
        for row in rows:
            self.mapping = self.mapping or _columns(row)
            query, passage = (required_id(row, _present(row, self.mapping[word])) for word in ID_COLUMNS)
            yield Judgment(query, passage, relevance_of(self._grade(row), row.where)), row.place

    def _grade(self, row: Row) -> object:
        """Return the grade of a row, or 1 if the rows have no grades.

        Raises:
            CollectionError: if this row has more columns than the first one, which had no grade.
        """
        if "grade" in self.mapping:
            return row.values[_present(row, self.mapping["grade"])]
        further = [name for name in row.values if name not in self.mapping.values()]
        if further:
            raise CollectionError(
                f"this row has a third column, {excerpt(further[0])}, but the first row has only two ids",
                where=row.where,
                fix="give every row of the qrels a grade, or none",
            )
        self.ungraded += 1
        return 1

    def notes(self) -> tuple[str, ...]:
        """Return a note about pairs without a grade, if there are any."""
        if not self.ungraded:
            return ()
        return (f"the qrels have no grades: each of their {self.ungraded:,} pairs counts as relevant (grade 1)",)


def _present(row: Row, column: str) -> str:
    if column not in row.values:
        raise missing_column(row, [column])
    return column


def _columns(row: Row) -> dict[str, str]:
    """Find the columns of query id, passage id and grade. Without a grade, a row must have two columns, the ids."""
    columns = {}
    for word, names in ID_COLUMNS.items():
        present = [name for name in names if name in row.values]
        if not present:
            raise missing_column(row, names)
        columns[word] = present[0]
    grades = [name for name in row.values if is_grade_column(name)]
    if len(grades) > 1:
        raise CollectionError(
            f"several columns could be the grade: {', '.join(grades)}",
            where=row.where,
            fix="keep one of these columns in the qrels",
        )
    if not grades and len(row.values) > len(ID_COLUMNS):
        raise missing_column(row, ("score", "relevance", "label"))
    return {**columns, **({"grade": grades[0]} if grades else {})}
