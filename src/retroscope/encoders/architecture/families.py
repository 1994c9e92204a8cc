"""The table of model families: the module paths of blocks, attention, FFN matrices and norms.

`prove_anatomy` (`anatomy.py`) checks the row of a family on every model that is loaded. For a family without a row,
`tracing/` finds the paths by a forward pass. They are checked in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Dotted paths of the parts of one architecture. Paths inside a block are relative to the block.

    Attributes:
        blocks: the list of all blocks.
        attention: the attention of a block, its output projection included.
        attention_out: the attention output matrix, from the concatenated outputs of the heads to the hidden size.
        ffn_in: the FFN matrix from the hidden to the inner size. In a gated FFN with two such matrices, the one whose
            output does *not* pass the activation.
        ffn_out: the FFN matrix from the inner size back to the hidden size.
        ffn_gate: in a gated FFN, the matrix whose output passes the activation. None if it is not a separate matrix.
        norms: the norms of a block.
        embeddings: everything that turns ids and positions into the input of the first block.
        final_norm: the norm after the last block, or None when there is none.
        causal: whether attention is causal.
        fused_gate: whether `ffn_in` holds both matrices of a gated FFN: the first half of its outputs passes the
            activation and is then multiplied by the second half (ModernBERT's `Wi`).
        transposed: whether matrices are stored as [in, out] (GPT-2's Conv1D) instead of [out, in].
        takes_positions: whether `forward` needs `position_ids` for a text with padding on the left. False if the model
            derives the positions from the ids or the mask (RoBERTa, MPNet, OPT), or has none (T5).
    """

    blocks: str
    attention: str
    attention_out: str
    ffn_in: str
    ffn_out: str
    ffn_gate: str | None = None
    norms: tuple[str, ...]
    embeddings: tuple[str, ...]
    final_norm: str | None = None
    causal: bool = False
    fused_gate: bool = False
    transposed: bool = False
    takes_positions: bool = True

    def in_block(self) -> dict[str, str]:
        """Map each part of a block (attention, FFN matrices, norm.0, norm.1 ...) to its path inside the block."""
        norms = {f"norm.{i}": path for i, path in enumerate(self.norms)}
        return {"attention": self.attention, **self.ffn(), **norms}

    def ffn(self) -> dict[str, str]:
        """Map ffn_in, ffn_gate (if not None) and ffn_out to the module paths of these matrices inside a block."""
        paths = {"ffn_in": self.ffn_in, "ffn_gate": self.ffn_gate, "ffn_out": self.ffn_out}
        return {part: path for part, path in paths.items() if path is not None}


BERT = Layout(
    blocks="encoder.layer",
    attention="attention",
    attention_out="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    norms=("attention.output.LayerNorm", "output.LayerNorm"),
    embeddings=("embeddings",),
)
ROBERTA = replace(BERT, takes_positions=False)
ELECTRA_PROJECTED = replace(BERT, embeddings=("embeddings", "embeddings_project"))
MPNET = replace(
    ROBERTA,
    attention_out="attention.attn.o",
    norms=("attention.LayerNorm", "output.LayerNorm"),
    embeddings=("embeddings", "encoder.relative_attention_bias"),
)
DEBERTA = replace(BERT, embeddings=("embeddings", "encoder.rel_embeddings"))
DEBERTA_NORMED = replace(BERT, embeddings=("embeddings", "encoder.rel_embeddings", "encoder.LayerNorm"))
DISTILBERT = Layout(
    blocks="transformer.layer",
    attention="attention",
    attention_out="attention.out_lin",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    norms=("sa_layer_norm", "output_layer_norm"),
    embeddings=("embeddings",),
)
MODERNBERT = Layout(
    blocks="layers",
    attention="attn",
    attention_out="attn.Wo",
    ffn_in="mlp.Wi",
    ffn_out="mlp.Wo",
    fused_gate=True,
    norms=("attn_norm", "mlp_norm"),
    embeddings=("embeddings",),
    final_norm="final_norm",
)
LLAMA = Layout(
    blocks="layers",
    attention="self_attn",
    attention_out="self_attn.o_proj",
    ffn_in="mlp.up_proj",
    ffn_gate="mlp.gate_proj",
    ffn_out="mlp.down_proj",
    norms=("input_layernorm", "post_attention_layernorm"),
    embeddings=("embed_tokens",),
    final_norm="norm",
    causal=True,
)
GEMMA2 = replace(
    LLAMA,
    norms=(
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
)
GPT_NEOX = Layout(
    blocks="layers",
    attention="attention",
    attention_out="attention.dense",
    ffn_in="mlp.dense_h_to_4h",
    ffn_out="mlp.dense_4h_to_h",
    norms=("input_layernorm", "post_attention_layernorm"),
    embeddings=("embed_in",),
    final_norm="final_layer_norm",
    causal=True,
)
GPT2 = Layout(
    blocks="h",
    attention="attn",
    attention_out="attn.c_proj",
    ffn_in="mlp.c_fc",
    ffn_out="mlp.c_proj",
    norms=("ln_1", "ln_2"),
    embeddings=("wte", "wpe"),
    final_norm="ln_f",
    causal=True,
    transposed=True,
)
OPT = Layout(
    blocks="decoder.layers",
    attention="self_attn",
    attention_out="self_attn.out_proj",
    ffn_in="fc1",
    ffn_out="fc2",
    norms=("self_attn_layer_norm", "final_layer_norm"),
    embeddings=("decoder.embed_tokens", "decoder.embed_positions"),
    final_norm="decoder.final_layer_norm",
    causal=True,
    takes_positions=False,
)
T5 = Layout(
    blocks="encoder.block",
    attention="layer.0.SelfAttention",
    attention_out="layer.0.SelfAttention.o",
    ffn_in="layer.1.DenseReluDense.wi",
    ffn_out="layer.1.DenseReluDense.wo",
    norms=("layer.0.layer_norm", "layer.1.layer_norm"),
    embeddings=("shared",),
    final_norm="encoder.final_layer_norm",
    takes_positions=False,
)
T5_GATED = replace(T5, ffn_in="layer.1.DenseReluDense.wi_1", ffn_gate="layer.1.DenseReluDense.wi_0")

NOMIC = Layout(
    blocks="layers",
    attention="self_attn",
    attention_out="self_attn.o_proj",
    ffn_in="mlp.up_proj",
    ffn_gate="mlp.gate_proj",
    ffn_out="mlp.down_proj",
    norms=("post_attention_layernorm", "post_mlp_layernorm"),
    embeddings=("embeddings",),
)
JINA = replace(NOMIC, ffn_in="mlp.fc1", ffn_gate=None, ffn_out="mlp.fc2")
EUROBERT = replace(LLAMA, causal=False)

# model_type -> the layouts that it may have; the first whose paths all exist (the most specific first) is taken
FAMILIES: Mapping[str, tuple[Layout, ...]] = {
    "bert": (BERT,),
    "roberta": (ROBERTA,),
    "xlm-roberta": (ROBERTA,),
    "camembert": (ROBERTA,),
    "distilbert": (DISTILBERT,),
    "mpnet": (MPNET,),
    "electra": (ELECTRA_PROJECTED, BERT),
    "deberta-v2": (DEBERTA_NORMED, DEBERTA, BERT),
    "modernbert": (MODERNBERT,),
    "dpr": (BERT,),
    "llama": (LLAMA,),
    "mistral": (LLAMA,),
    "qwen2": (LLAMA,),
    "qwen3": (LLAMA,),
    "gemma": (LLAMA,),
    "gemma2": (GEMMA2,),
    "gemma3_text": (GEMMA2,),
    "gpt_neox": (GPT_NEOX,),
    "gpt2": (GPT2,),
    "opt": (OPT,),
    "t5": (T5_GATED, T5),
    "mt5": (T5_GATED, T5),
    "umt5": (T5_GATED, T5),
    "nomic_bert": (NOMIC,),
    "gte": (NOMIC,),
    "jina_embeddings_v3": (JINA,),
    "eurobert": (EUROBERT,),
}
