"""Run `retroscope embed`: compute the vectors of every layer for a file of texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.checks.selftest import check_told_apart
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.work import measured_rate
from retroscope.engine.choice import LOCAL, Engine
from retroscope.engine.storage import Location
from retroscope.errors import SettingsError, unknown_name
from retroscope.files.documents import SCHEMA
from retroscope.inputs.encoding import doubts, tower_tests
from retroscope.inputs.load import TextLines, retriever_of
from retroscope.inputs.load import read_lines as read_lines
from retroscope.inputs.provenance import software, tower_facts
from retroscope.inputs.settings import StudySettings
from retroscope.number_format import estimate
from retroscope.progress import Progress
from retroscope.representations.extraction import extract
from retroscope.representations.place import refuse_other_files
from retroscope.representations.plan import ExtractionPlan, plan_extraction
from retroscope.representations.repair import remake_damaged

TOWERS = ("query", "passage")


@dataclass(frozen=True, eq=False)
class Embedding:
    """The texts to encode, the plan of their encoding, and the self-tests of the encoder that encodes them."""

    plan: ExtractionPlan
    texts: Sequence[str] | TextLines
    tower: str
    self_tests: list[SelfTest]

    @property
    def encoder(self) -> Encoder:
        """Return the encoder of the texts: that of queries or that of passages."""
        return self.plan.encoder

    def document(self, out: Location | None) -> dict[str, Any]:
        """Return the document of `embed --json`: folder, encoder, sizes of texts and vectors, as JSON-like values."""
        inventory = self.plan.inventory
        return {
            "schema": SCHEMA,
            "out": None if out is None else str(out),
            "model": self.encoder.name,
            "tower": tower_facts(self.tower, self.encoder, self.self_tests),
            "texts": len(self.texts),
            "distinct": inventory.n_distinct,
            "tokens": inventory.tokens,
            "at_max_length": inventory.truncated,
            "layers": len(self.encoder.layer_names),
            "stored_layers": self.plan.settings.layers,
            "bytes": self.plan.n_bytes,
            "dtype": self.plan.settings.dtype,
            "key": self.plan.key,
            "caveats": list(doubts({self.tower: self.self_tests})),
            "versions": software(),
        }


def as_new_folder(out: Path) -> Path:
    """Return the absolute path of the folder for the vectors, which must be new, empty or a vector store.

    Raises:
        SettingsError: if it is the current folder.
        RepresentationError: if it has files that do not belong to a vector store.
    """
    real = out.resolve()
    if real == Path.cwd():
        raise SettingsError("the folder of the vectors cannot be the current folder", where=str(out),
                            fix="give a subfolder, e.g. --out vectors")  # fmt: skip
    refuse_other_files(real)
    return real


def plan_embedding(settings: StudySettings, texts: Sequence[str] | TextLines, tower: str) -> Embedding:
    """Load the model and plan the encoding of the texts. Only the last layer passes through the final norm."""
    if tower not in TOWERS:
        raise unknown_name("tower", tower, TOWERS)
    encoder = retriever_of(settings.after).tower(tower)
    check_told_apart(encoder)
    extraction = replace(settings.extraction, norm_each_layer=False)
    return Embedding(plan_extraction(encoder, texts, extraction), texts, tower, tower_tests(encoder))


def describe_embedding(embedding: Embedding, out: Location | None) -> str:
    """Return the plan of the encoding as a few lines of text. `out` is None if a dry run names no folder."""
    inventory, encoder = embedding.plan.inventory, embedding.encoder
    seconds = embedding.plan.operations / measured_rate(encoder, inventory.lengths)
    recipe = ", ".join(f"{k}={v!r}" for k, v in encoder.recipe.identity().items() if v not in (None, "", [], False))
    caveats = [f"caveat: {doubt}" for doubt in doubts({embedding.tower: embedding.self_tests})]
    size, place = embedding.plan.n_bytes / 2**20, "" if out is None else f" in {out}"
    return "\n".join(
        [
            f"{encoder.name}, {embedding.tower} tower: {recipe}",
            f"{len(embedding.texts):,} texts, {inventory.n_distinct:,} distinct, {inventory.truncated:,} that reach "
            f"the maximum length; about {estimate(seconds)} and {size:,.1f} MiB{place}",
            *caveats,
        ]
    )


def embed(
    embedding: Embedding, out: Location, progress: Progress | None = None, *, engine: Engine = LOCAL
) -> dict[str, Any]:
    """Write the vectors to `out`, or resume a stopped run, and return the document of `embed --json`."""
    report = None if progress is None else (lambda done, total: progress("texts", done, total))
    ids = [str(i) for i in range(len(embedding.texts))]
    vectors = extract(embedding.plan, ids, embedding.texts, out, report, engine=engine)
    remake_damaged(vectors.store)  # of an earlier run
    return embedding.document(out)
