"""Tiny random-weight models of every family, with tokenizers, saved to disk as a user's checkpoint would be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    DPRContextEncoder,
    DPRQuestionEncoder,
    MT5EncoderModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5EncoderModel,
    UMT5EncoderModel,
)

from retroscope.encoders.checkpoints.folders import quiet

TEXTS = (
    "Gravity bends light near heavy stars.",
    "The river floods each spring.",
    "Who wrote the first book about the moon?",
    "A cat sat on a mat, and the mat was red and warm and much too small for such a cat.",
)
CORPUS = (*TEXTS, "Retrieval finds passages that answer questions.", "0123456789", "abcdefghijklmnopqrstuvwxyz")
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
GROUPED = {**SIZE, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}
RENAMED = ("nomic_bert", "gte", "jina_embeddings_v3")  # transformers renames or cuts their tensors as it loads them
BERT_LIKE = {**SIZE, "max_position_embeddings": 64}
ROBERTA_LIKE = {**SIZE, "max_position_embeddings": 66}


@dataclass(frozen=True)
class Style:
    """Special tokens of a tokenizer: in order of their ids, and what is put around a text."""

    specials: Mapping[str, str]
    around: str
    padding_side: str = "right"


STYLES = {
    "bert": Style(
        {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        "[CLS] $A [SEP]",
    ),
    "roberta": Style(
        {"cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"},
        "<s> $A </s>",
    ),
    "llama": Style({"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}, "<s> $A"),
    "gemma": Style(
        {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}, "<bos> $A <eos>"
    ),
    "mistral": Style(
        {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}, "<s> $A </s>", "left"
    ),
    "padded": Style({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}, "$A </s>", "left"),
    "gpt2": Style({"eos_token": "<|endoftext|>", "unk_token": "<unk>"}, "$A"),
    "opt": Style({"bos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}, "</s> $A"),
    "t5": Style({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}, "$A </s>"),
}


@dataclass(frozen=True)
class Toy:
    """One tiny model: its `model_type`, what its configuration says, and its tokenizer."""

    model_type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    style: str = "bert"
    cls: type[PreTrainedModel] | None = None
    causal: bool = False
    post_norm: bool = False

    def build(self, seed: int = 0) -> PreTrainedModel:
        """Build the model with every weight random, norms and biases included."""
        tokens = tokenizer(self.style)
        names = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
        special = {name: getattr(tokens, name) for name in names}
        config = AutoConfig.for_model(self.model_type, vocab_size=len(tokens), **special, **self.config)
        with quiet(), torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.cls(config) if self.cls else AutoModel.from_config(config)
        return scatter(model, seed)

    def save(self, folder: Path, seed: int = 0) -> Path:
        """Save model and tokenizer."""
        return save(self.build(seed), folder, self.style)


TOYS: dict[str, Toy] = {
    "bert": Toy("bert", BERT_LIKE),
    "roberta": Toy("roberta", ROBERTA_LIKE, "roberta"),
    "xlm-roberta": Toy("xlm-roberta", ROBERTA_LIKE, "roberta"),
    "camembert": Toy("camembert", ROBERTA_LIKE, "roberta"),
    "distilbert": Toy(
        "distilbert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 64}
    ),
    "mpnet": Toy("mpnet", ROBERTA_LIKE, "roberta"),
    "electra": Toy("electra", {**BERT_LIKE, "embedding_size": 16}),
    "electra-projected": Toy("electra", {**BERT_LIKE, "embedding_size": 8}),
    "deberta-v2": Toy(
        "deberta-v2",
        {**BERT_LIKE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm"},
    ),
    "modernbert": Toy("modernbert", {**BERT_LIKE, "local_attention": 8}, post_norm=True),
    "dpr-question": Toy("dpr", BERT_LIKE, cls=DPRQuestionEncoder),
    "dpr-context": Toy("dpr", BERT_LIKE, cls=DPRContextEncoder),
    "dpr-projected": Toy("dpr", {**BERT_LIKE, "projection_dim": 12}, cls=DPRContextEncoder),
    "llama": Toy("llama", GROUPED, "llama", causal=True, post_norm=True),
    "mistral": Toy("mistral", {**GROUPED, "sliding_window": 8}, "llama", causal=True, post_norm=True),
    "qwen2": Toy("qwen2", GROUPED, "padded", causal=True, post_norm=True),
    "qwen3": Toy("qwen3", GROUPED, "padded", causal=True, post_norm=True),
    "gemma": Toy("gemma", GROUPED, "llama", causal=True, post_norm=True),
    "gemma2": Toy("gemma2", GROUPED, "llama", causal=True, post_norm=True),
    "gemma3_text": Toy("gemma3_text", GROUPED, "llama", causal=True, post_norm=True),
    "gpt_neox": Toy("gpt_neox", BERT_LIKE, "gpt2", causal=True, post_norm=True),
    "gpt2": Toy(
        "gpt2", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}, "gpt2", causal=True, post_norm=True
    ),
    "opt": Toy(
        "opt",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 24,
            "word_embed_proj_dim": 16,
            "max_position_embeddings": 64,
        },
        "opt",
        causal=True,
        post_norm=True,
    ),
    "t5": Toy(
        "t5",
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
        "t5",
        T5EncoderModel,
        post_norm=True,
    ),
    "t5-gated": Toy(
        "t5",
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"},
        "t5",
        T5EncoderModel,
        post_norm=True,
    ),
    "nomic_bert": Toy("nomic_bert", BERT_LIKE),
    "gte": Toy("gte", BERT_LIKE),
    "jina_embeddings_v3": Toy("jina_embeddings_v3", BERT_LIKE),
    "eurobert": Toy("eurobert", GROUPED, post_norm=True),
    "umt5": Toy(
        "umt5",
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"},
        "t5",
        UMT5EncoderModel,
        post_norm=True,
    ),
    "mt5": Toy(
        "mt5",
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"},
        "t5",
        MT5EncoderModel,
        post_norm=True,
    ),
}


def tokenizer(style: str = "bert") -> PreTrainedTokenizerFast:
    """A small BPE tokenizer with the special tokens of a style; it knows no word outside `CORPUS`."""
    chosen = STYLES[style]
    specials = list(chosen.specials.values())
    backend = Tokenizer(models.BPE(unk_token=chosen.specials["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=160, special_tokens=specials, show_progress=False)
    )
    used = [(token, backend.token_to_id(token)) for token in dict.fromkeys(chosen.around.split()) if token != "$A"]
    backend.post_processor = processors.TemplateProcessing(single=chosen.around, special_tokens=used)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=48, padding_side=chosen.padding_side, **chosen.specials
    )


@torch.no_grad()
def scatter(model: PreTrainedModel, seed: int, scale: float = 0.3) -> PreTrainedModel:
    """Add seeded noise to every parameter, so that no two tensors are alike and texts differ clearly."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def save(model: PreTrainedModel, folder: Path, style: str) -> Path:
    """Save a model and the tokenizer of a style into a folder."""
    with quiet():
        model.save_pretrained(folder)
    tokenizer(style).save_pretrained(folder)
    return folder


def save_toy(name: str, folder: Path, seed: int = 0) -> Path:
    """Save the toy of that name: `save_toy("bert", tmp_path / "bert")`."""
    return TOYS[name].save(folder, seed)
