"""What is wrong with the ids of a collection is said with the file and the line, by every reader."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_folders import TOY, Doc, Irds, Qrel, Topic, lines_of, put, write_beir, write_parquet_beir, write_trec
from test_multilingual import DOCS, ROWS, pack, write_miracl, write_mr_tydi

from retroscope.collection.loading import load_collection
from retroscope.collection.places import RecordPlace, located
from retroscope.collection.readers import irds
from retroscope.errors import CollectionError

PASSAGE, QUERY, JUDGMENT = "passage ids occur more than once", "query ids occur more than once", "judgments are repeat"
SGML = "<DOC>\n<DOCNO>../d1</DOCNO><TEXT>one</TEXT>\n</DOC>\n"
TOPICS = "<top>\n<num>q1<title>x\n</top>\n"


def doubled(file: Path) -> Path:
    """Write the last line of a file once more."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join([*lines, lines[-1]]), encoding="utf-8")
    return file


def beir_with(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        passages, queries, judgments = TOY
        return doubled(write_beir(folder, (passages, queries[:2], judgments)) / name).parents[name.count("/")]

    return write


def trec_with(name: str, text: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        passages, queries, judgments = TOY
        write_trec(folder, (passages, queries[:2], judgments))
        if text:
            put(folder / name, text)
        else:
            doubled(folder / name)
        return folder

    return write


def beir_with_json_qrels(folder: Path) -> Path:
    write_beir(folder, TOY)
    (folder / "qrels" / "test.tsv").unlink()
    row = {"query-id": "q1", "corpus-id": "d2", "score": 1}
    put(folder / "qrels" / "test.jsonl", lines_of([row, {**row, "query-id": "q2"}, row]))
    return folder


def parquet_in_two_files(folder: Path) -> Path:
    write_parquet_beir(folder, TOY)
    table = pa.Table.from_pylist([{"_id": "d2", "title": "", "text": "x"}, {"_id": "../d1", "title": "", "text": "y"}])
    pq.write_table(table, folder / "corpus" / "corpus-00001-of-00002.parquet")
    return folder


def miracl_with(name: str, rows: list[dict[str, str]] | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        write_miracl(folder, folder)
        if isinstance(rows, str):
            put(folder / name, rows)
        else:
            pack(folder / name, rows)
        return folder

    return write


def mr_tydi(folder: Path) -> Path:
    folder.mkdir()
    write_mr_tydi(folder)
    pack(folder / "corpus.jsonl.gz", [*DOCS, DOCS[1]])
    return folder


def tevatron_2(folder: Path) -> Path:
    folder.mkdir()
    put(folder / "corpus.jsonl", lines_of([*DOCS, DOCS[0]]))
    put(folder / "train.jsonl", lines_of([{"query_text": "x", "positive_document_ids": ["9#0"]}]))
    return folder / "train.jsonl"


def other_texts(folder: Path) -> Path:
    folder.mkdir()
    other = {**DOCS[0], "text": "another"}
    put(folder / "train.jsonl", lines_of([*ROWS, {**ROWS[0], "positive_passages": [other]}]))
    return folder / "train.jsonl"


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "beir corpus": (beir_with("corpus.jsonl"), rf"{PASSAGE}:\n  - 'd2': .*/corpus\.jsonl, line 2 and line 3\n"),
    "beir queries": (beir_with("queries.jsonl"), rf"{QUERY}:\n  - 'q2': .*/queries\.jsonl, line 2 and line 3\n"),
    "beir qrels": (
        beir_with("qrels/test.tsv"),
        rf"{JUDGMENT}ed:\n  - query 'q2', passage '\.\./d1', graded 0 and 0: .*/test\.tsv, line 4 and line 5\n",
    ),
    "beir json qrels": (
        beir_with_json_qrels,
        rf"{JUDGMENT}ed:\n.* graded 1 and 1: .*/test\.jsonl, line 1 and line 3\n",
    ),
    "trec corpus": (trec_with("collection.tsv"), rf"{PASSAGE}:\n  - 'd2': .*/collection\.tsv, line 2 and line 3\n"),
    "trec topics": (trec_with("topics.txt"), rf"{QUERY}:\n  - 'q2': .*/topics\.txt, line 2 and line 3\n"),
    "trec qrels": (trec_with("qrels.txt"), rf"{JUDGMENT}ed:\n  - query 'q2', .*: .*/qrels\.txt, line 3 and line 4\n"),
    "trec blocks": (
        trec_with("topics.txt", f"{TOPICS}\n{TOPICS}{TOPICS.replace('q1', 'q2')}"),
        rf"{QUERY}:\n  - 'q1': .*/topics\.txt, line 1 and line 5\n",
    ),
    "trec sgml": (
        trec_with("collection.tsv", f"{SGML}{SGML}{SGML.replace('../d1', 'd2')}"),
        rf"{PASSAGE}:\n  - '\.\./d1': .*/collection\.tsv, line 1 and line 4\n",
    ),
    "trec contradiction": (
        trec_with("qrels.txt", "q1 0 d2 1\nq1 0 d2 0\n"),
        r"judgments contradict one another:\n.* graded 1 and 0: .*/qrels\.txt, line 1 and line 2\n",
    ),
    "trec dangling": (
        trec_with("qrels.txt", "q1 0 d2 1\nq1 0 d9 0\nq2 0 d9 0\n"),
        r"judgments of passages that do not exist:\n  - 'd9': .*/qrels\.txt, line 2\n",
    ),
    "trec unknown query": (
        trec_with("qrels.txt", "q1 0 d2 1\nq9 0 d2 1\n"),
        r"judgments of queries that do not exist:\n  - 'q9': .*/qrels\.txt, line 2\n",
    ),
    "trec empty": (
        trec_with("collection.tsv", "../d1\tone\nd2\t \n"),
        r"passages without title or text:\n  - 'd2': .*/collection\.tsv, line 2\n",
    ),
    "hf": (
        parquet_in_two_files,
        rf"{PASSAGE}:\n.*d1': .*/corpus-00000-of-00002\.parquet, row 1; .*/corpus-00001-of-00002\.parquet, row 2\n",
    ),
    "miracl corpus": (
        miracl_with("docs-1.jsonl.gz", [*DOCS[2:], DOCS[0]]),
        rf"{PASSAGE}:\n  - '7#0': .*/docs-0\.jsonl\.gz, line 1; .*/docs-1\.jsonl\.gz, line 2\n",
    ),
    "miracl topics": (
        miracl_with("topics/topics.miracl-v1.0-sw-dev.tsv", "1#0\tx\n2#0\ty\n1#0\tz\n"),
        rf"{QUERY}:\n  - '1#0': .*-dev\.tsv, line 1 and line 3\n",
    ),
    "mrtydi": (mr_tydi, rf"{PASSAGE}:\n  - '7#1': .*/corpus\.jsonl\.gz, line 2 and line 4\n"),
    "tevatron version 2": (tevatron_2, rf"{PASSAGE}:\n  - '7#0': .*/corpus\.jsonl, line 1 and line 4\n"),
    "rows": (other_texts, r"train\.jsonl, line 3: two different texts have the id '7#0'\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_id_or_judgment_that_is_wrong_has_file_and_line(case: str, tmp_path: Path) -> None:
    write, expected = CASES[case]
    path = write(tmp_path / "toy")
    with pytest.raises(CollectionError, match=expected):
        load_collection(path)


def test_ids_of_ir_datasets_have_the_number_of_their_record() -> None:
    docs = [Doc("d1", "one", ""), Doc("d2", "two", ""), Doc("d1", "three", "")]
    data = Irds(docs, [Topic("q1", "x")], [Qrel("q1", "d1", 1, "0")])
    with pytest.raises(CollectionError, match=rf"{PASSAGE}:\n  - 'd1': beir/toy, document 1 and document 3\n"):
        irds.irds_collection(data, "beir/toy")


def test_the_source_is_read_again_for_an_error_only() -> None:
    reads = []

    def source() -> list[tuple[str, RecordPlace]]:
        reads.append(1)
        return [("a", RecordPlace("f", f"line {n}")) for n in range(1, 6)]

    assert located([], source) == []
    assert not reads
    assert located(["a", "b"], source) == ["'a': f, line 1 and line 2 and line 3; 2 more", "'b'"]
    assert len(reads) == 1


BEIR = r"write each line as query-id<TAB>corpus-id<TAB>score, e\.g\. q1<TAB>p7<TAB>1"
QRELS = {
    "query-id,corpus-id,score\nq1,d2,1\n": rf"line 1: the columns of this line are separated by commas: .*\n.*{BEIR}",
    "q1,d2,1\n": rf"line 1: the columns of this line are separated by commas: 'q1,d2,1'\n.*{BEIR}",
    "query-id\tcorpus-id\nq1\td2\n": rf"line 1: this line has 2 columns, but .*: the grade is m.*\n.*{BEIR}; if",
    "q1\td2\n": rf"line 1: this line has 2 columns, .*missing after 'd2'\n.*{BEIR}; if every pair is relevant, add 1",
    "query-id\tcorpus-id\tscore\nq1\td2\n": rf"line 2: this line has 2 columns, .*\n.*{BEIR}",
    "q1\td2\t1\t2\t3\n": rf"line 1: this line has 5 columns, but qrels have 3 or 4\n.*{BEIR}",
    "q1\t\t1\n": rf"line 1: this line has no passage id\n.*{BEIR}",
}


@pytest.mark.parametrize("text", QRELS)
def test_qrels_of_beir_are_told_what_they_are(text: str, tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "toy", TOY)
    put(folder / "qrels" / "test.tsv", text)
    with pytest.raises(CollectionError, match=rf"test\.tsv, {QRELS[text]}") as caught:
        load_collection(folder)
    assert "docid" not in str(caught.value)  # the words of TREC


def test_qrels_of_trec_keep_the_words_of_trec(tmp_path: Path) -> None:
    folder = write_trec(tmp_path / "toy", TOY)
    for text, expected in (("q1,0,d2,1\n", "separated by commas: 'q1,0,d2,1'"), ("q1 d2\n", "the grade is missing")):
        put(folder / "qrels.txt", text)
        with pytest.raises(CollectionError, match=rf"qrels\.txt, line 1: .*{expected}.*\n.*qid 0 docid relevance"):
            load_collection(folder)


def test_qrels_of_another_ending_are_named(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "toy", TOY)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "test.csv")
    with pytest.raises(CollectionError, match=rf"no qrels SPLIT\.tsv or SPLIT\.jsonl; found: test\.csv\n.*{BEIR}"):
        load_collection(folder)
