"""Describe, as JSON-like values, the models, the collection and the software that numbers were computed with."""

import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import TypedDict

import torch

from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives
from retroscope.collection.records import NegativesRecipe
from retroscope.encoders.checks.proofs import LoadingProof, SelfTest
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.recipe import RecipeFacts
from retroscope.files.cache_records import versions
from retroscope.representations.represent import TowerPlan
from retroscope.typesetting.subject import CollectionRecord, ModelFacts, ProofFacts, SelfTestFacts, TowerFacts

LIBRARIES = ("retroscope", "torch", "transformers", "tokenizers", "sentence-transformers", "peft", "faiss-cpu", "bm25s",
             "ir-measures", "numpy", "scipy", "statsmodels", "xarray", "zarr")  # fmt: skip


class TextCounts(TypedDict):
    """Counts of an encoder's texts (all, distinct, and of maximum length), and its recipe, as JSON-like values."""

    texts: int
    distinct: int
    at_max_length: int
    recipe: RecipeFacts


def model_facts(retriever: Retriever, self_tests: dict[str, list[SelfTest]]) -> ModelFacts:
    """Describe a model as JSON-like values: its name, its similarity, and its query and passage encoder."""
    if retriever.query.fingerprint == retriever.passage.fingerprint:
        towers = [tower_facts("query and passage", retriever.query, self_tests["query"])]
    else:
        towers = [tower_facts(role, retriever.tower(role), self_tests[role]) for role in ("query", "passage")]
    return {"name": retriever.name, "similarity": retriever.similarity, "towers": towers}


def tower_facts(role: str, encoder: Encoder, self_tests: list[SelfTest]) -> TowerFacts:
    """Describe one encoder as JSON-like values: recipe, layers, self-tests, evidence that weights were loaded."""
    return {
        "role": role,
        "recipe": encoder.recipe.as_dict(),
        "proof": proof_facts(encoder.proof),
        "layer_names": list(encoder.layer_names),
        "fingerprint": encoder.fingerprint,
        "self_tests": [self_test_facts(test) for test in self_tests],
    }


def proof_facts(proof: LoadingProof) -> ProofFacts:
    """Return the evidence that weights were loaded, as JSON-like values."""
    return {
        "source": proof.source,
        "loaded": proof.loaded,
        "missing": list(proof.missing),
        "unexpected": list(proof.unexpected),
        "counted": proof.counted,
        "wrapper": proof.wrapper,
        "notes": list(proof.notes),
    }


def self_test_facts(test: SelfTest) -> SelfTestFacts:
    """Return the outcome of a self-test as JSON-like values.

    Its value is None if the measured difference is not finite.
    """
    value = test.value if isfinite(test.value) else None
    return {
        "name": test.name, "passed": test.passed, "value": value, "tolerance": test.tolerance, "detail": test.detail
    }  # fmt: skip


def collection_facts(collection: Collection, negatives: MinedNegatives | None) -> CollectionRecord:
    """Describe a collection, and how its hard negatives were found, as JSON-like values."""
    mined = NegativesRecipe()
    if negatives is not None:
        mined = {
            **negatives.recipe,
            "choices": len(negatives.candidates),
            "short": negatives.short,
            "left_out": {
                "with_answer": negatives.left_out.with_answer,
                "of_same_text": negatives.left_out.of_same_text,
                "answered": negatives.left_out.answered,
            },
        }
    return {
        "name": collection.name,
        "source": collection.source,
        "counts": {
            "passages": len(collection.passages),
            "queries": len(collection.queries),
            "judged queries": len(collection.judged_queries),
            "judgments": len(collection.judgments),
        },
        "mapping": {
            **collection.mapping,
            "title and text joined by": repr(collection.title_separator),
            "ignore_identical_ids": str(collection.ignore_identical_ids),
        },
        "negatives": mined,
        "fingerprint": collection.fingerprint,
    }


def negative_notes(negatives: MinedNegatives | None) -> list[str]:
    """Return notes on the passages that are not used as hard negatives because they may be relevant."""
    if negatives is None:
        return []
    left_out, pairs, notes = negatives.left_out, len(negatives.candidates), []
    if left_out.with_answer:
        notes.append(
            f"hard negatives: {left_out.with_answer:,} passages that rank high for {pairs:,} pairs (query, relevant "
            "passage) contain an answer to the query and are left out"
        )
    if left_out.of_same_text:
        notes.append(
            f"hard negatives: {left_out.of_same_text:,} passages that rank high for {pairs:,} pairs (query, relevant "
            "passage) are relevant to another query with the same text and are left out"
        )
    return notes


def software() -> dict[str, str]:
    """Return the versions of the libraries, the kind of machine and the number of threads."""
    machine = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    return {**dict(versions(LIBRARIES)), **machine, "threads": str(torch.get_num_threads())}


def made_by() -> dict[str, str]:
    """Return the library versions that a cached number depends on, without platform and number of threads."""
    return {name: version for name, version in software().items() if name not in ("threads", "platform")}


def command_line() -> str:
    """Return the command line of this process, or "" if it does not run `retroscope`."""
    return shlex.join(["retroscope", *sys.argv[1:]]) if Path(sys.argv[0]).name == "retroscope" else ""


def tower_counts(towers: Iterable[TowerPlan]) -> dict[str, TextCounts]:
    """Map "query" and "passage" to the encoder's recipe and to counts of texts: all, distinct, of maximum length."""
    return {
        tower.tower: {
            "texts": len(tower.ids),
            "distinct": tower.plan.inventory.n_distinct,
            "at_max_length": tower.plan.inventory.truncated,
            "recipe": tower.plan.encoder.recipe.as_dict(),
        }
        for tower in towers
    }


def truncation_caveats(side: str, towers: Mapping[str, TextCounts]) -> list[str]:
    """Return warnings about texts that reach the maximum length (and may be cut), and texts with equal tokens."""
    same = {tower: towers[tower]["texts"] - towers[tower]["distinct"] for tower in ("query", "passage")}
    caveats = [
        f"{side}: {n} {tower} texts have the same tokens as another text, so they have equal vectors"
        for tower, n in same.items()
        if n
    ]
    return caveats + [
        f"{side}: {towers[tower]['at_max_length']} of {towers[tower]['texts']} {tower} texts fill the maximum of "
        f"{towers[tower]['recipe']['max_length']} tokens, so their ends may be cut"
        for tower in ("query", "passage")
        if towers[tower]["at_max_length"]
    ]
