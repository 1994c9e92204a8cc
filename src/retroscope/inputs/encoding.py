"""Run the self-tests of a model, and refuse a model that gives different texts the same vector."""

from collections.abc import Mapping

from retroscope.collection.collection import Collection
from retroscope.encoders.checks.library import library_test
from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.checks.selftest import check_told_apart, self_test
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import AnalysisError
from retroscope.retrieval.retrieve import Retrieval


def checked(retriever: Retriever) -> dict[str, list[SelfTest]]:
    """Run the self-tests of the query and passage encoder, after a check that different texts get different vectors.

    Raises:
        EncoderError: if an encoder gives different texts the same vector.
    """
    for encoder in {id(e): e for e in (retriever.query, retriever.passage)}.values():
        check_told_apart(encoder)
    return tested(retriever)


def tested(retriever: Retriever) -> dict[str, list[SelfTest]]:
    """Run the self-tests of the query and the passage encoder. If they are the same encoder, it is tested once."""
    towers = {"query": tower_tests(retriever.query)}
    same = retriever.query.fingerprint == retriever.passage.fingerprint
    return {**towers, "passage": towers["query"] if same else tower_tests(retriever.passage)}


def tower_tests(encoder: Encoder) -> list[SelfTest]:
    """Run the self-tests of an encoder, with the comparison to sentence-transformers where it is possible."""
    library = library_test(encoder)
    return [*self_test(encoder), *([library] if library else [])]


def doubts(self_tests: Mapping[str, list[SelfTest]]) -> tuple[str, ...]:
    """Return a warning for each failed self-test of the query or passage encoder.

    All scores that are computed with the encoder keep its warnings.
    """
    return tuple(
        f"{tower} tower fails its self-test {test.name!r}: {test.detail}: a vector changes by {test.value:.2g} "
        f"of its length (rounding explains at most {test.tolerance:.2g})"
        for tower, tests in self_tests.items()
        for test in tests
        if not test.passed
    )


def refuse_blind(retriever: Retriever, ranked: Retrieval, collection: Collection) -> None:
    """Refuse a retriever if its rankings show that it gives different texts the same vector.

    Raises:
        AnalysisError: if different texts have the same vector, because every ranking would then be by id alone.
    """
    if ranked.blind:
        raise AnalysisError(
            f"{retriever.name} cannot rank passages by their content: {ranked.blind}",
            where=collection.name,
            fix="run `retroscope doctor` to find the cause: an unsuitable pooling, a small max_length, damaged weights",
        )
