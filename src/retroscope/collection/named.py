"""Table of well-known collections by name (`named:scifact`): revision, licence, split, title rule and measure.

An empty field means that the sources do not state it. If the revision is empty, the newest files are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from retroscope.collection.readers.options import ReadOptions
from retroscope.errors import CollectionError, unknown_name

PREFIX = "named:"
MTEB = "mteb, tasks/Retrieval"

BEIR_FILES = "BEIR's corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv (docs/reference/data.md)"


@dataclass(frozen=True, kw_only=True)
class Named:
    """One published collection that can be read by its name.

    Attributes:
        name: the name after `named:`.
        source: the source that is read, `hf:NAME`, or "" if its published layout cannot be read.
        revision: commit of the hub repository, or "" if it is not known.
        licence: licence as published, or "" if none is stated.
        split: split of the judgments that its benchmark reports.
        title: how title and text are joined, or "" if there are no titles.
        measure: the measure that its benchmark reports.
        stated_by: where the other fields are published.
        get: if `source` is "": what the published files contain, for a user who converts them.
    """

    name: str
    source: str = ""
    revision: str = ""
    licence: str = ""
    split: str = "test"
    title: str = "a space"
    measure: str = "nDCG@10"
    stated_by: str
    get: str = ""

    def options(self, given: ReadOptions) -> ReadOptions:
        """Fill in the published split and revision where the user's options leave them out."""
        return replace(given, split=given.split or self.split, revision=given.revision or self.revision or None)


SQUAD_TYPE = "each row has a question (the query) and its context (the relevant passage)"
ROWS: tuple[Named, ...] = (
    Named(
        name="scifact",
        source="hf:mteb/scifact",
        revision="d56462d0e63a25450459c4f213e49ffdb866f7f9",
        licence="claims CC BY 4.0, abstracts ODC-By 1.0 (allenai/scifact)",
        stated_by=f"{MTEB}/eng/SciFactRetrieval.py; LICENSE.md of allenai/scifact",
    ),
    Named(
        name="nfcorpus",
        source="hf:mteb/nfcorpus",
        revision="ec0fa4fe99da2ff19ca1214b7966684033a58814",
        stated_by=f"{MTEB}/eng/NFCorpusRetrieval.py",
    ),
    Named(
        name="nq",
        source="hf:mteb/nq",
        revision="b774495ed302d8c44a3a7ea25c90dbce03968f31",
        licence="cc-by-nc-sa-3.0",
        stated_by=f"{MTEB}/eng/NQRetrieval.py",
    ),
    Named(
        name="arguana",
        source="hf:mteb/arguana",
        revision="c22ab2a51041ffd869aaddef7af8d8215647e41a",
        stated_by=f"{MTEB}/eng/ArguAnaRetrieval.py (drops a passage with the query's id)",
    ),
    Named(
        name="fiqa",
        source="hf:mteb/fiqa",
        revision="27a168819829fe9bcd655c2df245fb19452e8e06",
        stated_by=f"{MTEB}/eng/FiQA2018Retrieval.py",
    ),
    Named(
        name="bsard",
        source="hf:mteb/BSARDRetrieval",
        revision="8c492add6a14ac188f2debdaf6cbdfb406fd6be3",
        licence="cc-by-nc-sa-4.0",
        measure="R@100",
        stated_by=f"{MTEB}/fra/BSARDRetrieval.py",
    ),
    Named(
        name="miracl",
        licence="cc-by-sa-4.0",
        split="dev",
        stated_by=f"{MTEB}/multilingual/MIRACLRetrieval.py (its revision there is main)",
        get="the configurations are corpus-LANG, queries-LANG and LANG, e.g. corpus-de, queries-de and de; keep "
        "passages that have the id of a query (mteb issue 642). The folders of miracl/miracl and miracl/miracl-corpus "
        "are read without conversion: miracl:miracl-v1.0-LANG",
    ),
    Named(
        name="mr-tydi",
        revision="fc24a3ce8f09746410daee3d5cd823ff7a0675b7",
        licence="cc-by-sa-3.0",
        stated_by=f"{MTEB}/multilingual/MrTidyRetrieval.py (mteb/mrtidy)",
        get="the configurations are LANGUAGE-corpus, LANGUAGE-queries and LANGUAGE-qrels, e.g. arabic-corpus. The "
        "folders of castorini/mr-tydi and castorini/mr-tydi-corpus are read without conversion: mrtydi:FOLDER",
    ),
    Named(
        name="xquad",
        revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
        licence="cc-by-sa-4.0",
        split="validation",
        title="",
        stated_by=f"{MTEB}/multilingual/XQuADRetrieval.py (google/xquad)",
        get=SQUAD_TYPE,
    ),
    Named(
        name="pubmedqa",
        split="",
        licence="MIT",
        title="",
        measure="",
        stated_by="github pubmedqa/pubmedqa, data/ori_pqal.json (1,000 questions)",
        get="the contexts of a question, joined to one text, are its only relevant passage",
    ),
    Named(
        name="bioasq",
        split="",
        measure="",
        stated_by="",
        get="the questions need an account at bioasq.org",
    ),
    Named(
        name="policyqa",
        split="",
        measure="",
        stated_by="",
        title="",
        get=SQUAD_TYPE,
    ),
    Named(
        name="legalbench-rag",
        split="",
        title="",
        measure="R@k of character spans",
        stated_by="arXiv 2408.10343; github zeroentropy-ai/legalbenchrag",
        get="the evidence is spans of characters: cut the documents into passages, of which those that a span touches "
        "are relevant",
    ),
)  # fmt: skip
NAMED: Mapping[str, Named] = {row.name: row for row in ROWS}


def named_text() -> str:
    """Return the table of named collections for the terminal."""
    heads = ("collection", "split", "measure", "licence", "revision")
    rows = [heads, *((r.name, r.split, r.measure, r.licence, r.revision or "not known") for r in ROWS)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    lines = ["".join(f"{cell:<{w + 2}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    unread = ", ".join(row.name for row in ROWS if not row.source)
    how = f"`retrieve MODEL --data named:NAME` reads one. Not read in their published layout: {unread}."
    return "\n".join([*lines, "", how])


def named_collection(spec: str | Path) -> Named | None:
    """Return the named collection of a spec `named:NAME`, or None for any other spec.

    Raises:
        SettingsError: for a name without a row.
        CollectionError: for a collection whose published layout cannot be read, with advice.
    """
    text = str(spec)
    if isinstance(spec, Path) or not text.startswith(PREFIX):
        return None
    name = text.removeprefix(PREFIX)
    if name not in NAMED:
        raise unknown_name("named collection", name, NAMED)
    row = NAMED[name]
    if not row.source:
        raise CollectionError(
            f"the published file layout of {name} is not supported",
            where=text,
            fix=f"convert the files to {BEIR_FILES}. About the published files: {row.get}",
        )
    return row
