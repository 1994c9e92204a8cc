"""A decoder of which every word's vector is set by hand, and that passes them on: what a text says is known."""

from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checks.selftest import SENTENCES
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever


def decoder_of(
    folder: Path, words: Mapping[str, Tensor], name: str, blocks: int = 2, *, head: Mapping[str, Tensor] | None = None
) -> Retriever:
    """Save and load a decoder whose blocks add nothing to the vectors of the words.

    Args:
        head: word -> the row of the language-model head that makes a vector say it; other rows are 0. None: it is
            saved without a head.
    """
    width, draw = len(next(iter(words.values()))), torch.Generator().manual_seed(7)
    known = sorted({word for text in SENTENCES for word in text.split()} - {*words})  # so that self-tests pass
    vectors = {**words, **{word: torch.randn(width, generator=draw) for word in known}}
    vocabulary = {"<unk>": 0, **{word: number for number, word in enumerate(vectors, start=1)}}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>", model_max_length=32
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=width, num_hidden_layers=blocks, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=width, max_position_embeddings=32, pad_token_id=0,
    )  # fmt: skip
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        whole = LlamaForCausalLM(config)
    model = whole.model
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
        model.embed_tokens.weight.copy_(torch.stack([torch.zeros(width), *vectors.values()]))
        whole.lm_head.weight.zero_()
        for word, row in (head or {}).items():
            whole.lm_head.weight[vocabulary[word]] = row
    with quiet():
        (model if head is None else whole).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_retriever(folder, pooling="mean", similarity="cosine", name=name)
