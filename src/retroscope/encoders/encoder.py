"""The types `Encoder` (backbone, tokenizer, recipe) and `Retriever` (two towers and a similarity)."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retroscope.encoders.architecture.anatomy import Anatomy
from retroscope.encoders.checks.proofs import LoadingProof
from retroscope.encoders.recipe import Recipe
from retroscope.encoders.settings import EncoderSource
from retroscope.encoders.token_memory import TokenMemory
from retroscope.notebook import html_table


@dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """An encoder of queries, of passages or of both: maps a text to a vector. Make one with `load_encoder`.

    Attributes:
        name: name in tables.
        backbone: the bare transformer (no LM or classification head), in eval mode, no parameter requires grad.
        tokenizer: its tokenizer, with a pad token.
        recipe: how a text becomes a vector.
        anatomy: the paths of the backbone's parts, verified when it was loaded.
        head: module applied to the pooled last layer (Dense, Normalize ...); `nn.Identity()` if there is none.
        proof: evidence that the weights are the checkpoint's.
        tokens: cache of the token ids of texts. If None, a text is tokenised every time that it is encoded.
        source: source from which another process can load the same encoder. If None, it exists in this process only.
    """

    name: str
    backbone: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    recipe: Recipe
    anatomy: Anatomy
    head: nn.Module
    proof: LoadingProof
    tokens: TokenMemory | None = None
    source: EncoderSource | None = None

    def __repr__(self) -> str:
        return f"<Encoder {self.name}: {self.summary}>"

    @property
    def summary(self) -> str:
        """Describe the encoder, e.g. "bert, 12 blocks of width 768, pooling mean, 512 tokens at most"."""
        shape = f"{self.anatomy.family}, {self.anatomy.n_blocks} blocks of width {self.width}"
        return f"{shape}, pooling {self.recipe.pooling}, {self.recipe.max_length:,} tokens at most"

    @property
    def width(self) -> int:
        """Return the number of dimensions of a token's state."""
        return int(self.backbone.config.get_text_config().hidden_size)

    @property
    def embedding_rows(self) -> int:
        """Return the number of token ids that have a row in the embedding matrix."""
        return len(self.backbone.get_input_embeddings().weight)

    @property
    def device(self) -> torch.device:
        """Return the device of the backbone."""
        return torch.device(self.backbone.device)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the labels of layers 0..L. The last one ends in "(post-norm)" if it includes a final norm."""
        last = self.anatomy.n_blocks
        names = [str(k) for k in range(last + 1)]
        if self.anatomy.post_norm:
            names[-1] = f"{last} (post-norm)"
        return tuple(names)

    @cached_property
    def reading(self) -> bytes:
        """Return a digest of what determines a text's token ids: tokenizer, prompt, suffix, maximum length, EOS."""
        recipe = self.recipe
        # What a tokenizer in Python does is not all in its state: one shares token ids with no other.
        own = 0 if self.tokenizer.is_fast else id(self.tokenizer)
        made_of = (
            tokenizer_state(self.tokenizer), own, recipe.prompt, recipe.suffix, recipe.max_length, recipe.append_eos
        )  # fmt: skip
        return hashlib.sha256(json.dumps(made_of).encode()).digest()

    def remembering(self, tokens: TokenMemory) -> "Encoder":
        """Return a copy of the encoder that looks up the token ids of texts in a cache."""
        encoder = replace(self, tokens=tokens)
        vars(encoder)["fingerprint"] = self.fingerprint  # of the same weights, which take long to read
        return encoder

    @cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 of what determines a vector: weights, architecture, head, tokenizer and recipe."""
        made_of = self.recipe.identity()
        if not self.recipe.pool_prompt:
            made_of["prompt tokens"] = PROMPT_COUNT
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode())
        for part in (architecture(self.backbone), repr(self.head), tokenizer_state(self.tokenizer)):
            digest.update(part.encode())
        for module in (self.backbone, self.head):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False, repr=False)
class Retriever:
    """A query encoder, a passage encoder (possibly the same) and the similarity of their vectors.

    Attributes:
        name: name in tables.
        query, passage: the encoders (towers).
        similarity: "dot" or "cosine".
        similarity_source: where the similarity comes from.
        own_similarity: the similarity of its checkpoint, if another model's similarity is used instead; else None.
    """

    name: str
    query: Encoder
    passage: Encoder
    similarity: str
    similarity_source: str = "user"
    own_similarity: str | None = None

    def __repr__(self) -> str:
        towers = [self.query.summary]
        if self.passage is not self.query:
            towers = [f"query tower {self.query.name}: {towers[0]}",
                      f"passage tower {self.passage.name}: {self.passage.summary}"]  # fmt: skip
        return f"<Retriever {self.name}: {'; '.join(towers)}; compared by {self.similarity}>"

    def _repr_html_(self) -> str:
        towers = {"query tower": self.query, "passage tower": self.passage}
        if self.passage is self.query:
            towers = {"query and passage tower": self.query}
        rows = [(name, tower.name, tower.summary, f"prompt {tower.recipe.prompt!r}") for name, tower in towers.items()]
        return html_table(
            f"Retriever {self.name}", [*rows, ("similarity", self.similarity, self.similarity_source, "")]
        )

    def remembering(self, tokens: TokenMemory) -> "Retriever":
        """Return a copy of the retriever whose encoders look up the token ids of texts in a cache."""
        query = self.query.remembering(tokens)
        return replace(
            self, query=query, passage=query if self.passage is self.query else self.passage.remembering(tokens)
        )

    def tower(self, name: str) -> Encoder:
        """Return the query encoder if `name` is "query", the passage encoder if it is "passage"."""
        return {"query": self.query, "passage": self.passage}[name]


# Of every tokenizer at hand, its state by special tokens and size: writing a vocabulary takes half a second.
_states: WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, str]] = WeakKeyDictionary()

PROMPT_COUNT = 2  # raise it when a prompt that is not pooled gets another number of tokens, or counts otherwise

# What a configuration says besides how to compute: where it came from, and what else was saved beside it.
NOT_ARCHITECTURE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def architecture(model: PreTrainedModel) -> str:
    """Return the settings of a model's computation as JSON: heads, activation, epsilon, rotary base ...

    These settings are not among the weights, but each of them changes every vector.
    """
    config = {k: v for k, v in model.config.to_dict().items() if k not in NOT_ARCHITECTURE}
    kernel = getattr(model.config, "_attn_implementation", None)
    return json.dumps([type(model).__name__, kernel, config], sort_keys=True, default=str)


def tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return everything that determines a tokenizer's output, as JSON.

    The truncation and padding that its last call left in its state are not included.
    """
    special = [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.truncation_side]
    if not tokenizer.is_fast:
        return json.dumps([*special, type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    key = json.dumps([*special, len(tokenizer)])
    states = _states.setdefault(tokenizer, {})
    if key not in states:
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        settings = {k: v for k, v in state.items() if k not in ("truncation", "padding")}
        states[key] = json.dumps([*special, settings], sort_keys=True)
    return states[key]
