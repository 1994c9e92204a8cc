"""Hostile collections: every format of file, damaged and forged in every way that was thought of."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hostile_case import BROKEN_JSON, DEEP, LONG_NUMBER, Case, Cases, put
from hostile_models import ODD, odd

Edit = Callable[[Path], Any]
CORPUS = [{"_id": f"d{n}", "title": "", "text": f"passage number {n}"} for n in range(5)]
QUERIES = [{"_id": f"q{n}", "text": f"which is number {n}"} for n in range(3)]
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n}\t1\n" for n in range(3))
ROWS: dict[str, list[dict[str, Any]]] = {
    "st": [{"query": "which", "positive": "this one", "negative_1": "that one"}],
    "ielab": [{"question": "which", "positive_context": "this one", "negative_context_0": "a", "negative_context_1": "b",
               "negative_context_2": "c", "negative_context_3": "d"}],
    "dpr": [{"question": "which", "answers": ["this"], "positive_ctxs": [{"title": "", "text": "this one"}],
             "negative_ctxs": [], "hard_negative_ctxs": [{"title": "", "text": "that one"}]}],
    "tevatron": [{"query_id": "1", "query": "which", "positive_passages": [{"docid": "a", "title": "", "text": "this"}],
                  "negative_passages": [{"docid": "b", "title": "", "text": "that"}]}],
    "flag": [{"query": "which", "pos": ["this one"], "neg": ["that one"]}],
    "msmarco": [{"query": "which", "passages": {"passage_text": ["this", "that"], "is_selected": [1, 0]}}],
}  # fmt: skip


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def beir(folder: Path) -> Path:
    place = folder / "beir"
    put(place / "corpus.jsonl", jsonl(CORPUS))
    put(place / "queries.jsonl", jsonl(QUERIES))
    put(place / "qrels/test.tsv", QRELS)
    return place


def trec(folder: Path) -> Path:
    place = folder / "trec"
    put(place / "corpus.tsv", "".join(f"{p['_id']}\t{p['text']}\n" for p in CORPUS))
    put(place / "topics.tsv", "".join(f"{q['_id']}\t{q['text']}\n" for q in QUERIES))
    put(place / "qrels.txt", "".join(f"q{n} 0 d{n} 1\n" for n in range(3)))
    return place


def parquets(folder: Path) -> Path:
    place = folder / "hf"
    for part, rows in {"corpus": CORPUS, "queries": QUERIES}.items():
        (place / part).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), place / part / "test.parquet")
    (place / "qrels").mkdir()
    judged = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(judged), place / "qrels/test.parquet")
    return place


FOLDERS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "beir": (beir, ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")),
    "trec": (trec, ("corpus.tsv", "topics.tsv", "qrels.txt")),
    "hf": (parquets, ("corpus/test.parquet", "queries/test.parquet", "qrels/test.parquet")),
}


def changed(make: Callable[[Path], Path], edit: Edit, prefix: str, folder: Path) -> str:
    place = make(folder)
    edit(place)
    return f"{prefix}:{place}" if prefix else str(place)


@cache
def bomb(size: int, unit: bytes = b"a") -> bytes:
    """A gzip file of one byte again and again."""
    pieces, packer = [], zlib.compressobj(9, zlib.DEFLATED, 31)
    for _ in range(size // 2**20):
        pieces.append(packer.compress(unit * (2**20 // len(unit))))
    return b"".join([*pieces, packer.flush()])


BOMBS = {"letters": b"a", "line breaks": b"\n", "spaces": b" ", "brackets": b"["}


def make_bombs() -> None:
    """Pack them once, before children are forked that would each do so."""
    for unit in BOMBS.values():
        bomb(2**27, unit)


def of_folders() -> Cases:
    for form, (make, files) in FOLDERS.items():
        for file in files:
            for kind in ODD:
                edit = partial(lambda place, kind, file: odd(kind, place / file), kind=kind, file=file)
                for prefix in (form, ""):
                    yield Case("collection", "no regular file", f"{prefix or 'any'} {file} {kind}",
                               partial(changed, make, edit, prefix))  # fmt: skip
            for name, data in damages().items():
                edit = partial(lambda place, data, file: put(place / file, data), data=data, file=file)
                yield Case("collection", "damaged file", f"{form} {file} {name}", partial(changed, make, edit, form))
            packed = partial(lambda place, file: pack(place / file), file=file)
            yield Case("collection", "damaged gzip", f"{form} {file}", partial(changed, make, packed, form))
        for kind in ODD:
            yield Case("collection", "no folder", f"{form} {kind}", partial(
                lambda folder, form, kind: (odd(kind, folder / "x"), f"{form}:{folder / 'x'}")[1], form=form, kind=kind))  # fmt: skip


def damages() -> dict[str, bytes]:
    return {
        "empty": b"", "zeros": bytes(5000), "random": bytes(range(256)) * 20, "UTF-16": "a\tb\tc\n".encode("utf-16"),
        "latin1": "q1\td1\té\n".encode("latin1"), "half": b'{"_id": "a", "te', "only a line break": b"\n" * 10,
        "a gzip of nothing": gzip.compress(b""), "half a gzip": gzip.compress(b"x" * 10**5)[:50],
        "a gzip with damage": gzip.compress(os.urandom(5000))[:2000] + bytes(3000), "gzip magic": b"\x1f\x8b",
        "parquet magic": b"PAR1" + bytes(100) + b"PAR1", "deep": DEEP.encode(), "NUL": b"\0\t\0\t\0\n",
        "carriage returns": b"a\rb\rc\r", "a quotation mark": b'"' * 1001, "one long word": b"x" * 10**6,
    }  # fmt: skip


def pack(path: Path) -> None:
    data = bytearray(gzip.compress(path.read_bytes() * 50))
    data[len(data) // 2] ^= 0xFF
    put(path, bytes(data))


def lines_with(file: str, line: str | bytes, place: Path) -> None:
    content = (place / file).read_bytes()
    put(place / file, content + (line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")))


def of_lines() -> Cases:
    records: dict[str, str] = {
        "a list": "[1]", "a number": "3", "text": '"a"', "null": "null", "half": '{"_id": ', "deep": DEEP,
        "deep objects": '{"a":' * 100_000, "deep and closed": "[" * 50_000 + "]" * 50_000,
        "deep value": '{"_id": "x", "text": "y", "meta": ' + "[" * 50_000 + "]" * 50_000 + "}",
        "long number": f'{{"_id": {LONG_NUMBER}, "text": "a"}}', "no id": '{"text": "a"}', "id null": '{"_id": null, "text": "a"}',
        "id is a list": '{"_id": ["x"], "text": "a"}', "id is an object": '{"_id": {"x": 1}, "text": "a"}',
        "id is true": '{"_id": true, "text": "a"}', "id is a fraction": '{"_id": 1.5, "text": "a"}', "id empty": '{"_id": "", "text": "a"}',
        "id with a line break": '{"_id": "a\\nb", "text": "a"}', "id with an escape": '{"_id": "a\\u001b[31m", "text": "a"}',
        "id with NUL": '{"_id": "a\\u0000", "text": "a"}', "text is a number": '{"_id": "x", "text": 3}',
        "text is a list": '{"_id": "x", "text": ["a"]}', "text is an object": '{"_id": "x", "text": {}}',
        "text empty": '{"_id": "x", "text": ""}', "no text": '{"_id": "x"}', "half a character": '{"_id": "x", "text": "\\ud800"}',
        "half a character in the id": '{"_id": "\\udfff", "text": "a"}', "repeated key": '{"_id": "x", "_id": "y", "text": "a"}',
        "NaN": '{"_id": NaN, "text": "a"}', "infinite": '{"_id": Infinity, "text": "a"}', "repeated id": '{"_id": "d0", "text": "other"}',
        "1.5 MB of id": json.dumps({"_id": ["x" * 1_500_000], "text": "a"}), "many keys": json.dumps({"_id": [1], **{f"k{n}": n for n in range(10**5)}}),
        "invalid UTF-8": '{"_id": "x", "text": "\udcff"}', "control": "\x1b]0;evil\x07", "two objects": '{"_id": "x", "text": "a"} {"_id": "y"}',
        "1e400": '{"_id": 1e400, "text": "a"}', "a comment": "// nothing", "a byte-order mark": '\ufeff{"_id": "x", "text": "a"}',
    }  # fmt: skip
    for name, record in records.items():
        for file in ("corpus.jsonl", "queries.jsonl"):
            harmless = (name == "deep value" and file == "queries.jsonl") or (file == "queries.jsonl" and name in (
                "text empty", "half a character", "half a character in the id", "repeated id", "id with an escape"))  # fmt: skip
            harmless |= name in ("deep value", "text empty") or (name == "repeated id" and file == "queries.jsonl")
            edit = partial(lines_with, file, record + "\n")
            yield Case("collection", "record", f"{file} {name}", partial(changed, beir, edit, "beir"), not harmless)
    grades = [
        "nan",
        "inf",
        "1e9",
        LONG_NUMBER,
        "-",
        "",
        "0x1",
        "1.5",
        "９",
        "true",
        "[1]",
        "1001",
        "1_0",
        "\x1b[31m",
        "x" * 10**6,
    ]
    for number, grade in enumerate(grades):
        yield Case("collection", "grade", f"{number} {grade[:10]!r}", partial(
            changed, beir, partial(lines_with, "qrels/test.tsv", f"q1\td2\t{grade}\n"), "beir"))  # fmt: skip
    columns = ["q1\n", "q1\td1\n", "q1\td1\t1\t1\t1\n", "\t\t\n", "nobody\td1\t1\n", "q1\tnobody\t1\n", "q0\td0\t1\n",
               "q0\td0\t2\n", "a b c d e f\n", "x" * 10**6 + "\n", "\x00\t\x00\t1\n", "q1\t\t1\n"]  # fmt: skip
    for number, line in enumerate(columns):
        yield Case("collection", "line of qrels", str(number), partial(
            changed, beir, partial(lines_with, "qrels/test.tsv", line), "beir"))  # fmt: skip
    for file in ("corpus.tsv", "topics.tsv", "qrels.txt"):
        for number, line in enumerate(
            ["a\n", "a\tb\tc\td\te\n", "\n\t\n", "\x00\n", "\tx\n", "d0\tagain\tand again\n", "\x1b\n"]
        ):
            empty = not line.strip()
            yield Case("collection", "line of TREC", f"{file} {number}", partial(
                changed, trec, partial(lines_with, file, line), "trec"), not empty)  # fmt: skip
    topics = {"no number": "<top><title>a</top>", "no end": "<top><num>1<title>a", "many": "<top>" * 10**5,
              "empty": "<top></top>", "tags": "<top>" + "<a>" * 10**5 + "</top>", "deep": "<top><num>1" + "<x>" * 10**5}  # fmt: skip
    for name, text in topics.items():
        edit = partial(lambda place, text: put(place / "topics.tsv", text).rename(place / "topics.txt"), text=text)
        yield Case("collection", "topics", name, partial(changed, trec, edit, "trec"))


def one_file(name: str, data: bytes, prefix: str, folder: Path) -> str:
    return f"{prefix}:{put(folder / name, data)}"


def of_rows() -> Cases:
    """Every field of every row format, with every wrong kind of value."""
    values: dict[str, Any] = {"number": 3, "list of numbers": [3], "object": {"a": 1}, "null": None, "true": True,
                              "list of lists": [[1]], "list of null": [None], "empty text": "", "empty list": [],
                              "control": "a\x1b[31m", "half": "\ud800"}  # fmt: skip
    soft = {"null", "empty list", "empty text", "control", "object", "list of null", "true", "number", "half",
            "list of numbers", "list of lists"}  # fmt: skip
    for form, rows in ROWS.items():
        for field in rows[0]:
            for label, value in values.items():
                data = jsonl([{**rows[0], field: value}]).encode("utf-8", "surrogatepass")
                yield Case("collection", "field of a row", f"{form} {field} {label}", partial(one_file, "x.jsonl", data, form),
                           label not in soft)  # fmt: skip
            lacking = jsonl([{name: value for name, value in rows[0].items() if name != field}]).encode()
            yield Case(
                "collection", "field that lacks", f"{form} {field}", partial(one_file, "x.jsonl", lacking, form), False
            )
        for name, data in {**BROKEN_JSON, **damages()}.items():
            for ending in ("jsonl", "json"):
                yield Case(
                    "collection", f"broken .{ending}", f"{form} {name}", partial(one_file, f"x.{ending}", data, form)
                )
        for ending in ("csv", "tsv", "parquet", "jsonl.gz", "json.gz"):
            for name, data in damages().items():
                yield Case(
                    "collection", f"broken .{ending}", f"{form} {name}", partial(one_file, f"x.{ending}", data, form)
                )
    tables = {"ragged": b"query,positive\na\n", "quote": b'query,positive\n"a,b\n', "many columns": b"," * 10**6,
              "repeated": b"query,query\na,b\n", "NUL": b"query,positive\n\0,\0\n", "no rows": b"query,positive\n",
              "a long cell": b'query,positive\n"' + b"a" * 40 * 2**20, "quotes": b'query,positive\n' + b'""' * 10**6}  # fmt: skip
    for name, data in tables.items():
        yield Case("collection", "table", name, partial(one_file, "x.csv", data, "st"), name not in ("NUL",))
    items = {"many empty": b"[" + b"{}," * 10**5, "an item without end": b'[{"query": "' + b"a" * 2**20, "a list of text": b'["a"]',
             "no comma": b'[{"a": 1}{"a": 2}]', "deep items": b"[" * 10**5, "numbers": b"[" + LONG_NUMBER.encode() + b"]",
             "number in an item": b'[{"query": ' + LONG_NUMBER.encode() + b"}]", "spaces": b"[" + b" " * 10**6,
             "after the end": b'[{"query": "a", "positive": "b"}] trailing'}  # fmt: skip
    for name, data in items.items():
        yield Case("collection", "JSON list", name, partial(one_file, "x.json", data, "st"), name != "after the end")


def of_sizes() -> Cases:
    line = b'{"query": "' + b"a" * 40 * 2**20
    for ending in ("jsonl", "json", "csv", "tsv"):
        yield Case("collection", "a long line", ending, partial(one_file, f"x.{ending}", line, "st"))
        for name, unit in BOMBS.items():
            yield Case("collection", "gzip bomb", f"{ending} {name}", partial(
                lambda folder, ending, unit: one_file(f"x.{ending}.gz", bomb(2**27, unit), "st", folder), ending=ending,
                unit=unit))  # fmt: skip
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        edit = partial(lambda place, file: (put(place / f"{file}.gz", bomb(2**27)), (place / file).unlink()), file=file)
        yield Case("collection", "gzip bomb", f"beir {file}", partial(changed, beir, edit, "beir"))

    def swollen(folder: Path) -> str:
        table = pa.table({"query": ["which"] * 2000, "positive": ["a" * 10**6] * 2000})
        pq.write_table(table, folder / "x.parquet", compression="zstd")
        return f"st:{folder / 'x.parquet'}"

    def many(folder: Path) -> str:
        table = pa.table({"query": pa.nulls(10**7, pa.string()), "positive": pa.nulls(10**7, pa.string())})
        pq.write_table(table, folder / "x.parquet")
        return f"st:{folder / 'x.parquet'}"

    yield Case("collection", "parquet bomb", "a megabyte in every row", swollen)
    yield Case("collection", "parquet bomb", "ten million empty rows", many)


def of_parquet() -> Cases:
    whole = partial(lambda folder: parquets(folder) / "corpus/test.parquet")
    for place in range(0, 40):

        def flip(folder: Path, place: int = place) -> str:
            root = parquets(folder)
            data = bytearray(whole_bytes(root))
            data[(len(data) * place) // 40] ^= 0xFF
            put(root / "corpus/test.parquet", bytes(data))
            return f"hf:{root}"

        yield Case("collection", "flipped byte of parquet", str(place), flip, False)
    columns: dict[str, Any] = {"numbers": pa.array([1, 2]), "lists": pa.array([["a"], ["b"]]), "bytes": pa.array([b"\xff", b"a"]),
                               "dates": pa.array([0, 1], pa.timestamp("ns")), "nothing": pa.nulls(2), "truths": pa.array([True, False]),
                               "decimals": pa.array([1.5, float("nan")]), "maps": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
                               "far dates": pa.array([2**52, 1], pa.timestamp("s"))}  # fmt: skip
    for name, column in columns.items():
        for field in ("_id", "text"):

            def typed(folder: Path, column: Any = column, field: str = field) -> str:
                root = parquets(folder)
                table = {"_id": pa.array(["d0", "d1"]), "text": pa.array(["a", "b"]), field: column}
                pq.write_table(pa.table(table), root / "corpus/test.parquet")
                return f"hf:{root}"

            yield Case("collection", "type of a parquet column", f"{field} {name}", typed)
    del whole


def whole_bytes(root: Path) -> bytes:
    return (root / "corpus/test.parquet").read_bytes()


def of_saved() -> Cases:
    for file in ("dataset_info.json", "state.json", "dataset_dict.json"):
        for name, data in {**BROKEN_JSON, "splits up": b'{"splits": ["../../x"]}', "files up": b'{"_data_files": [{"filename": "../../x"}]}',
                           "files are numbers": b'{"_data_files": [3]}'}.items():  # fmt: skip

            def make(folder: Path, file: str = file, data: bytes = data) -> str:
                put(folder / "x/dataset_info.json", "{}")
                put(folder / "x" / file, data)
                return f"hf:{folder / 'x'}"

            yield Case("collection", "saved data set", f"{file} {name}", make)


def of_specs() -> Cases:
    for name, text in {
        "nobody's home": "~nosuchuser/x", "nobody's home with a prefix": "beir:~nosuchuser/x", "long": "x" * 5000,
        "long with a prefix": "beir:" + "x" * 5000, "NUL": "a\0b", "NUL with a prefix": "beir:a\0b", "empty": "", "a colon": ":",
        "two colons": "::", "only a prefix": "beir:", "unknown prefix": "no:x", "a device": "st:/dev/zero", "null device": "st:/dev/null",
        "a folder": "st:/etc", "a root": "beir:/", "a hub name": "hf:no/such", "a hub name of dots": "hf:../..", "a hub name of code":
        "hf:a b\nc", "an id": "ir_datasets:no/such", "an empty id": "ir_datasets:", "an id of dots": "ir_datasets:../x", "control":
        "\x1b[31mx", "a megabyte": "beir:" + "x" * 10**6, "surrogate": "beir:a\udc80", "a URL": "https://example.com/x", "line break": "a\nb",
        "dots": "..", "a file": "beir:/etc/hostname", "proc": "st:/proc/self/mem", "tty": "st:/dev/tty",
    }.items():  # fmt: skip
        yield Case("collection", "spec", name, lambda folder, text=text: text)


def of_runs() -> Cases:
    good = "q1 Q0 d1 1 0.5 x\n"
    lines = {"columns": "q1 d1\n", "score": "q1 Q0 d2 1 nan x\n", "infinite": "q1 Q0 d2 1 inf x\n", "long score": f"q1 Q0 d2 1 {LONG_NUMBER} x\n",
             "twice": good, "mixed": "q1 d2 1\n", "exponent": "q1 Q0 d2 1 1e999 x\n", "control": "\x1b\n", "long": "x" * 10**6 + "\n",
             "latin1": "é"}  # fmt: skip
    for name, line in lines.items():
        data = (good + line).encode("latin1" if name == "latin1" else "utf-8")
        yield Case("run", "line of a run", name, lambda folder, data=data: put(folder / "x.run", data))
    for door in ("run", "texts"):
        for kind in ODD:
            yield Case(
                door, "no regular file", kind, lambda folder, kind=kind: (odd(kind, folder / "x"), folder / "x")[1]
            )
        for name, data in damages().items():
            refused = not ((door == "texts" and name in ("zeros", "deep", "carriage returns", "a quotation mark", "one long word",
                                                        "half", "NUL")) or (door == "run" and name in ("empty", "only a line break",
                                                        "a gzip of nothing")))  # fmt: skip
            yield Case(door, "damaged file", name, lambda folder, data=data: put(folder / "x", data), refused)
        yield Case(door, "a long line", "40 MiB", lambda folder: put(folder / "x", b"a" * 40 * 2**20))
        yield Case(door, "gzip bomb", "128 MiB", lambda folder: put(folder / "x", bomb(2**27)))


def collection_cases() -> Iterator[Case]:
    """Every hostile collection."""
    for group in (of_folders, of_lines, of_rows, of_sizes, of_parquet, of_saved, of_specs, of_runs):
        yield from group()
