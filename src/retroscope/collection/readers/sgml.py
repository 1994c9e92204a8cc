"""TREC documents in SGML: <DOC> blocks with <DOCNO>, headline and <TEXT>, in one file or in a folder of files."""

import codecs
import html
import re
from collections.abc import Iterator
from pathlib import Path

from retroscope.collection.readers.rows import CHUNK, Row, lines, open_bytes
from retroscope.errors import CollectionError
from retroscope.files.reading import DOWNLOAD_AGAIN

START, END = "<doc>", "</doc>"
TITLES = ("title", "headline", "head", "ti", "ttl")  # the first that a document has
TEXTS = ("text", "body", "graphic")  # all of them, in the document's order
NUMBER = re.compile(r"<docno>(.*?)</docno>", re.DOTALL | re.IGNORECASE)
TAG = re.compile(r"<[^<>]*>")
NOT_SGML = (".jsonl", ".json", ".parquet", ".csv")


def holds_documents(path: Path) -> bool:
    """Return whether a file, or the first file of a folder, begins with a <DOC> block."""
    if path.is_dir():
        files = documents_of(path)
        return bool(files) and holds_documents(files[0])
    if any(ending in NOT_SGML for ending in path.suffixes):
        return False
    with open_bytes(path) as file:  # it may hold no text at all
        return file.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(START.encode())


def documents_of(folder: Path) -> list[Path]:
    """Return all files below a folder, in the order of their paths."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))


def read_sgml(path: Path) -> Iterator[Row]:
    """Yield a row of docid, title and text for each document of a file or folder.

    Raises:
        CollectionError: with file and line, for a document without <DOCNO> or </DOC>.
    """
    for file in documents_of(path) if path.is_dir() else [path]:
        yield from _documents(file)


def _documents(file: Path) -> Iterator[Row]:
    block: list[str] = []
    start = 0
    for number, line in lines(file):
        if START in line.lower():
            _check_ended(block, file, start)
            start = number
        if START in line.lower() or block:
            block.append(line)
        if END in line.lower():
            yield _document("".join(block), file, start)
            block = []
    _check_ended(block, file, start)


def _check_ended(block: list[str], file: Path, start: int) -> None:
    if block:
        raise CollectionError(
            "the <DOC> that begins in this line has no </DOC>", where=f"{file}, line {start}", fix=DOWNLOAD_AGAIN
        )


def _document(block: str, file: Path, line: int) -> Row:
    numbers = [number.strip() for number in NUMBER.findall(block)]
    if len(numbers) > 1:
        raise CollectionError(
            f"the <DOC> that begins in this line has several <DOCNO>: {', '.join(numbers)}",
            where=f"{file}, line {line}",
            fix="give every document one id, and begin every <DOC> on a line of its own",
        )
    if not numbers or not numbers[0]:
        raise CollectionError(
            "the <DOC> that begins in this line has no <DOCNO>",
            where=f"{file}, line {line}",
            fix="give every document an id, e.g. <DOCNO>D1</DOCNO>",
        )
    titles = [title for tag in TITLES if (title := _between(block, (tag,)))]
    values = {"docid": numbers[0], "title": titles[0] if titles else "", "text": _between(block, TEXTS)}
    return Row(values, str(file), line)


def _between(block: str, tags: tuple[str, ...]) -> str:
    """Return the text of all elements with these names: tags removed, entities decoded, spaces single."""
    elements = re.findall(rf"<({'|'.join(tags)})>(.*?)</\1>", block, flags=re.DOTALL | re.IGNORECASE)
    return " ".join(html.unescape(TAG.sub(" ", " ".join(text for _, text in elements))).split())
