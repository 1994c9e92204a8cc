"""Reader of TREC folders: qrels, topics and a corpus, recognised by the names of the files.

A name with "qrels" in it is qrels (`qid 0 docid rel`), one with "topics" or "queries" is the topics
(<top> blocks, `qid<TAB>text`, or rows), one with "corpus", "collection", "docs" or "passages" is the
corpus (`docid<TAB>text`, `docid<TAB>url<TAB>title<TAB>body` as in msmarco-docs.tsv, rows, or <DOC> blocks of SGML, in
one file or in a folder of that name); each plain or gzipped. Recognised by one file of each kind whose qrels have three
or four columns. Several qrels (qrels.dev.tsv, qrels.test.tsv) are splits, and so are topics. A year before "qrels"
belongs to the split: 2019qrels-pass.txt is 2019.pass, and its topics are those with 2019 in their name. Archives
(.tar.gz) and msmarco-docs-lookup.tsv, which lie beside these files as published, are not read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from retroscope.collection.collection import Collection
from retroscope.collection.readers.options import ReadOptions, choose_split, collection_name
from retroscope.collection.readers.parts import PASSAGE_WORDS, QUERY_WORDS, Parts, RowReader, join_parts
from retroscope.collection.readers.reader import Reader
from retroscope.collection.readers.rows import Row, file_rows, form_of, lines
from retroscope.collection.readers.sgml import holds_documents, read_sgml
from retroscope.collection.readers.trec_files import line_cells, qrels_lines, read_pairs, read_texts, read_topics
from retroscope.errors import CollectionError

ROLES = {
    "qrels": r"(?P<year>[0-9]{4})?qrels?",
    "topics": r"topics?|quer(y|ies)",
    "corpus": r"corpus|collection|docs?|documents|passages",
}

NOT_READ = {"tar", "tgz", "zip", "lookup"}  # words in the names of files that lie beside those of MS MARCO


def recognises(path: Path) -> bool:
    """Return whether the folder has qrels, topics and a corpus."""
    if not path.is_dir():
        return False
    files = _files(path)
    return all(files.values()) and all(_looks_like_qrels(p) for p in files["qrels"])


def has_most_files(path: Path) -> bool:
    """Return whether a folder has at least two of qrels, topics and corpus."""
    return path.is_dir() and sum(bool(files) for files in _files(path).values()) >= 2


def read(path: Path, options: ReadOptions) -> Collection:
    """Read one split of a TREC folder: the requested split, by default "test", else the only split."""
    of_role = _files(path)
    absent = [role for role, files in of_role.items() if not files]
    if absent:
        raise CollectionError(
            f"no file of this folder is recognised by its name as {' or '.join(absent)}",
            where=str(path),
            fix="name the files of the folder qrels.*, topics.* and corpus.*",
        )
    qrels = _splits(of_role["qrels"])
    split = choose_split(options.split, qrels, str(path))
    topics, corpus = _one("topics", of_role, split), _one("corpus", of_role, split)
    reader = RowReader(options.columns)
    collection = join_parts(
        collection_name(path),
        Parts(
            corpus=partial(_corpus_rows, corpus),
            queries=partial(_topic_rows, topics, reader.columns.get("query_text")),
            judgments=partial(qrels_lines, qrels[split]),
        ),
        reader,
        str(path),
    )
    files = {"qrels": qrels[split].name, "topics": topics.name, "corpus": corpus.name}
    return replace(collection, mapping={"format": "trec", "split": split, **files, **reader.mapping})


def splits(path: Path) -> list[str]:
    """Return the names of the splits that have qrels."""
    return [*_splits(_files(path)["qrels"])]


def _files(path: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {role: [] for role in ROLES}
    for file in sorted(p for p in path.iterdir() if p.is_file() or (p.is_dir() and _is_corpus(p))):
        if NOT_READ & {*_words(file)}:
            continue
        role = next((r for r, pattern in ROLES.items() if set(_words(file)) & set(_matches(pattern, file))), None)
        if role:
            files[role].append(file)
    return files


def _is_corpus(folder: Path) -> bool:
    return bool(_matches(ROLES["corpus"], folder)) and holds_documents(folder)


def _words(file: Path) -> list[str]:
    return re.split(r"[^a-z0-9]+", file.name.lower())


def _matches(pattern: str, file: Path) -> list[str]:
    return [word for word in _words(file) if re.fullmatch(pattern, word)]


def _splits(files: list[Path]) -> dict[str, Path]:
    """Map each split to its qrels file. Raise an error if two files belong to one split."""
    splits: dict[str, Path] = {}
    for file in files:
        split = _split_of(file, "qrels") or "all"
        earlier = splits.setdefault(split, file)
        if earlier != file:
            raise CollectionError(
                f"the files {earlier.name} and {file.name} are both qrels of the split {split!r}",
                where=str(file.parent),
                fix="remove one of the two files, or write another split into its name, e.g. qrels.test.tsv",
            )
    return splits


def _split_of(file: Path, role: str) -> str:
    """Return the part of a file name that names the split, without the ending and the word for the role (qrels ...).

    The split of qrels.dev.small.tsv is dev.small, that of 2019qrels-pass.txt is 2019.pass.
    """
    endings = {"tsv", "txt", "gz", "trec", "tab"}
    words = [w for w in _words(file) if w not in endings]
    matches = {w: re.fullmatch(ROLES[role], w) for w in words}
    split_words = [w if (match := matches[w]) is None else match.groupdict().get("year") for w in words]
    return ".".join(w for w in split_words if w)


def _one(role: str, of_role: Mapping[str, list[Path]], split: str) -> Path:
    """Return the topics or the corpus (`role`) of a split: the only file, or the one that is named after the split.

    Files whose names have the same split come first, then files whose names contain all words of the split, then files
    whose names contain its year.
    """
    files = of_role[role]
    words = split.split(".")
    years = [word for word in words if re.fullmatch("[0-9]{4}", word)]
    tries = (
        files if len(files) == 1 else [],
        [p for p in files if _split_of(p, role) == split],
        [p for p in files if {*words} <= {*_words(p)}],
        [p for p in files if years and all(year in p.name for year in years)],
    )
    fitting = next((some for some in tries if some), [])
    if len(fitting) != 1:
        raise CollectionError(
            f"{len(fitting)} of the {role} files {', '.join(file.name for file in files)} are named after the split "
            f"{split!r}, but there must be exactly one",
            where=str(files[0].parent),
            fix=f"rename the {role} file of this split, e.g. to {role}.{split}.tsv",
        )
    return fitting[0]


def _looks_like_qrels(file: Path) -> bool:
    cells = next((line_cells(line) for _, line in lines(file)), [])
    return len(cells) in (3, 4)  # whether its grades are sound is for the reader to say, with file and line


def _corpus_rows(file: Path) -> Iterator[Row]:
    if holds_documents(file):
        return read_sgml(file)
    return file_rows(file) if _has_rows(file, PASSAGE_WORDS) else read_texts(file)


def _topic_rows(file: Path, element: str | None) -> Iterator[Row]:
    if _has_rows(file, QUERY_WORDS):
        return file_rows(file)
    if any("<top>" in line.lower() for _, line in lines(file)):
        return read_topics(file, element)
    return read_pairs(file, "qid", "text")


def _has_rows(file: Path, words: dict[str, list[str]]) -> bool:
    """Return whether a file has named columns, as all forms do except tab-separated lines without a header."""
    form = form_of(file)
    if form not in (".tsv", None):
        return True
    header = next((line_cells(line) for _, line in lines(file)), [])
    return form == ".tsv" and all(any(name in header for name in names) for names in words.values())


READER = Reader(layout="folder", judgments="qrels file", recognises=recognises, read=read, splits=splits)
