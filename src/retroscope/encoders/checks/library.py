"""Compare an encoder with `SentenceTransformer`, the library that wrote its folder."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.checkpoints.folders import MODULES, quiet
from retroscope.encoders.checkpoints.modules import has_routes
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding, Origin
from retroscope.encoders.checks.proofs import SelfTest
from retroscope.encoders.checks.selftest import SENTENCES, largest_gap, position_tolerance, tolerance
from retroscope.encoders.encode import encode_layers, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.errors import LibraryError
from retroscope.files.reading import foreign

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NOT_COMPARABLE = (
    "you set a recipe field, the protocol adds prompt and suffix, queries and passages go through different modules, "
    "dtype is half precision, or the base model is not the one that the adapter's settings name"
)
AS_PUBLISHED = "last_column"  # the pooling with which the protocol ielab-2025 adds a prompt and a suffix of its own
CANNOT = "SentenceTransformer itself cannot encode a batch with this folder"


def library_test(encoder: Encoder) -> SelfTest | None:
    """Compare final vectors with those of `SentenceTransformer.encode`, if it can load the checkpoint.

    Return None if a comparison is not possible: for a checkpoint that is no sentence-transformers folder, a recipe that
    the user or the protocol has changed, different modules for queries and passages (Router), half precision, an
    adapter whose settings name another base model, or a folder with which the library fails (`check_library` reports
    why).
    """
    if not _comparable(encoder):
        return None
    try:
        return _compared(encoder, _load_library(encoder))
    except LibraryError:
        return None


def check_library(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Compare the vectors with those of the library that wrote the folder, or report why they cannot be compared."""
    if not _comparable(encoder):
        if (origin.path / MODULES).is_file():
            yield Finding(
                NOTE,
                "library",
                f"not compared with SentenceTransformer.encode, for one of these reasons: {NOT_COMPARABLE}",
            )
        return
    try:
        library = _load_library(encoder)
        test = _compared(encoder, library)
        prompts = [note for tower in origin.towers for note in _other_prompts(encoder, library, tower, test.tolerance)]
    except LibraryError as error:
        yield Finding(WARNING, "library", f"not compared: {error.what}", error.fix)
        return
    yield from (self_test_finding(test), *prompts)


def self_test_finding(test: SelfTest) -> Finding:
    """Return the result of a self-test as a finding: passed, or an error."""
    evidence = f"{test.detail}: {test.value:.1g} of a vector's length apart (rounding: at most {test.tolerance:.1g})"
    fix = "do not use this encoder: padding changes its pooling or its positions"
    return Finding(PASSED, test.name, evidence) if test.passed else Finding(ERROR, test.name, evidence, fix)


def _comparable(encoder: Encoder) -> bool:
    folder = encoder.proof.library_folder
    recipe = encoder.recipe
    own_recipe = "user" not in recipe.sources.values() and recipe.pooling != AS_PUBLISHED
    return own_recipe and encoder.backbone.dtype == torch.float32 and folder != "" and not has_routes(Path(folder))


def _load_library(encoder: Encoder) -> "SentenceTransformer":
    """Load the folder with sentence-transformers, in the precision of the encoder.

    Raises:
        LibraryError: if the library cannot load the folder, or the tokenizer has no usable pad token. The library pads
            every batch, even a batch of one text.
    """
    from sentence_transformers import SentenceTransformer

    folder = Path(encoder.proof.library_folder)
    precision = {"dtype": encoder.backbone.dtype}
    with foreign(LibraryError, CANNOT, folder), quiet():
        library = SentenceTransformer(
            str(folder), device=str(encoder.device), local_files_only=True, model_kwargs=precision
        )
    pad = None if library.tokenizer is None else library.tokenizer.pad_token_id
    if pad is None or pad >= len(encoder.backbone.get_input_embeddings().weight):
        problem = "has no pad token" if pad is None else "has a pad token without a row in the embedding"
        raise LibraryError(
            f"{CANNOT}: the folder's tokenizer {problem}",
            where=str(folder),
            fix=f"set pad_token in tokenizer_config.json, e.g. to {encoder.tokenizer.pad_token!r}, as Retroscope does",
        )
    return library


def _compared(encoder: Encoder, library: "SentenceTransformer") -> SelfTest:
    ours, theirs = encode_layers(encoder, SENTENCES).final, _encoded(encoder, library)
    longest = max(map(len, tokenise(encoder, SENTENCES)))  # the library pads a batch to it, decoders on the left
    limit = tolerance(encoder) + position_tolerance(encoder, longest)
    value = largest_gap(ours[:, None], theirs[:, None])
    return SelfTest("library", value <= limit, value, limit, "final vectors and those of SentenceTransformer.encode")


def _encoded(encoder: Encoder, library: "SentenceTransformer") -> Float[Tensor, "text dim"]:
    return _vectors(encoder, library.encode, prompt=encoder.recipe.prompt)


def _vectors(encoder: Encoder, encode: Callable[..., Any], **options: str) -> Float[Tensor, "text dim"]:
    with foreign(LibraryError, CANNOT, encoder.proof.library_folder), quiet():
        vectors: Tensor = encode(list(SENTENCES), convert_to_tensor=True, show_progress_bar=False, **options)
    return vectors.cpu().float()


def _other_prompts(encoder: Encoder, library: "SentenceTransformer", tower: str, limit: float) -> Iterator[Finding]:
    """Report if sentence-transformers adds another prompt to queries or passages (`tower`) than the encoder does."""
    encode = {"query": library.encode_query, "passage": library.encode_document}[tower]
    theirs, ours = _vectors(encoder, encode), _encoded(encoder, library)
    apart = largest_gap(theirs[:, None], ours[:, None])
    if apart <= limit:
        return
    bare = _vectors(encoder, library.encode, prompt="")
    instead = "no prompt" if largest_gap(theirs[:, None], bare[:, None]) <= limit else "another prompt"
    used = f"{encoder.recipe.prompt!r} ({encoder.recipe.sources.get('prompt', 'default')})"
    what = f"SentenceTransformer.{encode.__name__} of the installed version {version('sentence-transformers')} uses"
    yield Finding(
        NOTE,
        "prompts",
        f"{what} {instead}, but the recipe has {used}: vectors differ by up to {apart:.2g} of their length",
        f"give the prompt that the model was trained with (--{tower}-prompt; '' for none)",
    )
