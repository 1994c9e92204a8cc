"""Sizes of the study of universality, and its architectures with random weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    BertForMaskedLM,
    LlamaForCausalLM,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
    T5Model,
)
from transformers.models.modernbert.modeling_modernbert import ModernBertForMaskedLM

from retroscope.study.training.pretraining import DROPOUTS
from retroscope.training.pretraining.shapes import shape_of

MAX_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes that all cells share.

    Attributes:
        documents: pre-training documents about each person, where the arm names no other number.
        layers, width: of the backbones.
        steps, batch_size: of the pre-training.
        fine_tuning_steps, pairs: steps and batch of the fine-tuning.
        seeds: seeds of every arm.
    """

    people: int = 64
    documents: int = 16
    layers: int = 2
    width: int = 128
    steps: int = 800
    batch_size: int = 64
    learning_rate: float = 3e-3
    fine_tuning_steps: int = 60
    pairs: int = 64
    seeds: int = 3


TINY = Scale(people=40, documents=2, layers=2, width=32, steps=3, batch_size=4, fine_tuning_steps=2, pairs=4, seeds=1)


def _of_library(family: str, make: Callable[[PretrainedConfig], PreTrainedModel]) -> "Build":
    """Return what builds a shape of the library, without dropout."""

    def build(scale: Scale, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
        config = shape_of(f"{family}-{scale.layers}x{scale.width}")(tokenizer, MAX_LENGTH)
        for name in DROPOUTS:
            if name in config.to_dict():
                setattr(config, name, 0.0)
        return make(config)

    return build


def _roberta(scale: Scale, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    config = RobertaConfig(
        **_stream(scale, tokenizer),
        intermediate_size=4 * scale.width,
        max_position_embeddings=MAX_LENGTH + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return RobertaForMaskedLM(config)


def _modernbert(scale: Scale, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    config = ModernBertConfig(
        **_stream(scale, tokenizer),
        intermediate_size=4 * scale.width * 2 // 3,  # three matrices in the place of two
        max_position_embeddings=MAX_LENGTH,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    return ModernBertForMaskedLM(config)


def _stream(scale: Scale, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": scale.width,
        "num_hidden_layers": scale.layers,
        "num_attention_heads": scale.width // 32,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _t5(scale: Scale, tokenizer: PreTrainedTokenizerBase, layers: int, inner: int) -> PreTrainedModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=scale.width,
        d_kv=32,
        num_heads=scale.width // 32,
        d_ff=inner,
        num_layers=layers,
        num_decoder_layers=max(1, scale.layers - layers),
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


Build = Callable[[Scale, PreTrainedTokenizerBase], PreTrainedModel]
# Shape -> the family of its tokenizer, and what builds it. All that mask words read with one tokenizer.
SHAPES: Mapping[str, tuple[str, Build]] = {
    "bert": ("bert", _of_library("bert", BertForMaskedLM)),
    "llama": ("llama", _of_library("llama", LlamaForCausalLM)),
    "roberta": ("bert", _roberta),
    "modernbert": ("bert", _modernbert),
    "t5": ("t5", lambda scale, tokenizer: _t5(scale, tokenizer, scale.layers, 4 * scale.width)),
    # A decoder's block has two attentions: with an FFN of 3 widths, both halves are as large as the encoder of "t5".
    "t5both": ("t5", lambda scale, tokenizer: _t5(scale, tokenizer, -(-scale.layers // 2), 3 * scale.width)),
}


class FirstDecoderState(T5Model):  # type: ignore[misc]
    """A T5 whose one vector is the state of its decoder at the start token."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: Any) -> Any:
        """Return the state as a sequence of length 1, (text, 1, dim)."""
        start = input_ids.new_full((len(input_ids), 1), self.config.decoder_start_token_id)
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=start)
