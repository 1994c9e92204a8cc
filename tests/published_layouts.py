"""Tiny random models in the layouts of the hub repositories that the presets name: the same files, the same keys."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModel, DPRContextEncoder, DPRQuestionEncoder, T5EncoderModel

from retroscope.encoders.checkpoints.folders import quiet
from toys import GROUPED, SIZE, Toy, scatter, tokenizer

POOLINGS = {"cls": "cls_token", "mean": "mean_tokens", "last_token": "lasttoken"}
MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
IDENTITY = "torch.nn.modules.linear.Identity"
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}


@dataclass(frozen=True)
class Published:
    """What one preset's repository holds besides the backbone.

    Attributes:
        dense: sizes of the Dense modules, with whether they have a bias.
        norm: a LayerNorm module follows.
        prompts: of config_sentence_transformers.json.
        positions: the model's, as published, so that the published length fits.
    """

    toy: Toy
    pooling: str = ""
    length: int | None = None
    dense: tuple[tuple[int, int, bool], ...] = ()
    norm: bool = False
    normalize: bool = False
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    similarity: str | None = None


def bert(positions: int = 512, **more: Any) -> Toy:
    return Toy("bert", {**SIZE, "max_position_embeddings": positions, **more})


def roberta(kind: str, positions: int = 514) -> Toy:
    return Toy(kind, {**SIZE, "max_position_embeddings": positions}, "roberta")


def t5() -> Toy:
    return Toy("t5", T5, "t5", T5EncoderModel)


GEMMA = {**GROUPED, "max_position_embeddings": 2048, "use_bidirectional_attention": True, "sliding_window": 8,
         "num_hidden_layers": 6}  # fmt: skip
ST_LAYOUTS: dict[str, Published] = {
    "ance": Published(roberta("roberta"), "cls", 512, dense=((16, 16, True),), norm=True, lower_case=True),
    "gtr-t5": Published(t5(), "mean", 512, dense=((16, 16, False),), normalize=True),
    "sentence-t5": Published(t5(), "mean", 256, dense=((16, 16, False),), normalize=True),
    "multilingual-e5": Published(roberta("xlm-roberta"), "mean", 512, normalize=True),
    "e5": Published(bert(), "mean", 512, normalize=True),
    "bge-en": Published(bert(), "cls", 512, normalize=True, lower_case=True),
    "bge-m3": Published(roberta("xlm-roberta", 8194), "cls", 8192, normalize=True),
    "gte": Published(bert(), "mean", 512, normalize=True),
    "gte-modernbert": Published(
        Toy("modernbert", {**SIZE, "max_position_embeddings": 8192, "local_attention": 8}), "cls", 8192
    ),
    "modernbert-embed": Published(
        Toy("modernbert", {**SIZE, "max_position_embeddings": 8192, "local_attention": 8}), "mean", 8192,
        normalize=True, similarity="cosine",
    ),
    "nomic-embed": Published(Toy("nomic_bert", {**SIZE, "max_position_embeddings": 8192}), "mean", 8192),
    "all-mpnet": Published(roberta("mpnet"), "mean", 384, normalize=True),
    "multi-qa-mpnet-dot": Published(roberta("mpnet"), "cls", 512),
    "all-minilm": Published(bert(), "mean", 256, normalize=True),
    "tas-b": Published(
        Toy("distilbert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 512}),
        "cls", 512,
    ),
    "qwen3-embedding": Published(
        Toy("qwen3", {**GROUPED, "max_position_embeddings": 32768}, "padded"), "last_token", normalize=True,
        prompts={"query": f"Instruct: {WEB_SEARCH}\nQuery:", "document": ""},
        similarity="cosine",
    ),
    "embeddinggemma": Published(
        Toy("gemma3_text", GEMMA, "gemma"), "mean", 2048, dense=((16, 48, False), (48, 16, False)), normalize=True,
        prompts={"query": "task: search result | query: ", "document": "title: none | text: ",
                 "Clustering": "task: clustering | query: "},
        similarity="cosine",
    ),
    "e5-mistral": Published(
        Toy("mistral", {**GROUPED, "max_position_embeddings": 32768}, "mistral"), "last_token", 4096, normalize=True,
        prompts={"web_search_query": f"Instruct: {WEB_SEARCH}\nQuery: "},
    ),
}  # fmt: skip


def publish(name: str, folder: Path, seed: int = 0) -> dict[str, Path]:
    """Write the repository of a preset; return the folder of each tower."""
    if name in ST_LAYOUTS:
        return dict.fromkeys(("query", "passage"), write_modules(ST_LAYOUTS[name], folder, seed))
    return OTHERS[name](folder)


def save(toy: Toy, folder: Path, length: int, seed: int = 0) -> Path:
    """Save model and tokenizer of a toy; the tokenizer says what length its model has."""
    model = toy.build(seed)
    with quiet():
        model.save_pretrained(folder)
    tokens = tokenizer(toy.style)
    tokens.model_max_length = length
    tokens.save_pretrained(folder)
    return folder


def write_modules(one: Published, folder: Path, seed: int = 0) -> Path:
    """Write a folder of sentence-transformers' first generation around a saved toy."""
    save(one.toy, folder, one.length or 32768, seed)
    rows = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{mode}": mode == POOLINGS[one.pooling] for mode in MODES}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **flags})
    for sizes in one.dense:
        rows.append((f"{len(rows)}_Dense", "Dense"))
        write_dense(folder / rows[-1][0], *sizes)
    if one.norm:
        rows.append((f"{len(rows)}_LayerNorm", "LayerNorm"))
        write_norm(folder / rows[-1][0])
    if one.normalize:
        rows.append((f"{len(rows)}_Normalize", "Normalize"))
        (folder / rows[-1][0]).mkdir()
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(rows)
    ]
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": one.length, "do_lower_case": one.lower_case})
    versions = {"__version__": {"sentence_transformers": "2.2.2", "transformers": "4.30.0", "pytorch": "2.0.1"}}
    more = {"prompts": dict(one.prompts), "default_prompt_name": None} if one.prompts else {}
    more |= {"similarity_fn_name": one.similarity} if one.similarity else {}
    write(folder / "config_sentence_transformers.json", {**versions, **more})
    return folder


def write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_dense(folder: Path, inputs: int, outputs: int, bias: bool) -> None:
    folder.mkdir()
    generator = torch.Generator().manual_seed(inputs + outputs)
    tensors = {"linear.weight": torch.randn(outputs, inputs, generator=generator)}
    if bias:
        tensors["linear.bias"] = torch.randn(outputs, generator=generator)
    save_file(tensors, folder / "model.safetensors")
    write(folder / "config.json", {"in_features": inputs, "out_features": outputs, "bias": bias,
                                   "activation_function": IDENTITY})  # fmt: skip


def write_norm(folder: Path) -> None:
    folder.mkdir()
    generator = torch.Generator().manual_seed(7)
    save_file({f"norm.{name}": torch.randn(16, generator=generator) for name in ("weight", "bias")},
              folder / "model.safetensors")  # fmt: skip
    write(folder / "config.json", {"dimension": 16})


def write_dpr(folder: Path) -> dict[str, Path]:
    towers = {"query": DPRQuestionEncoder, "passage": DPRContextEncoder}
    sizes = {**SIZE, "max_position_embeddings": 512, "projection_dim": 0}
    return {tower: save(Toy("dpr", sizes, cls=cls), folder / tower, 512) for tower, cls in towers.items()}


def write_contriever(folder: Path) -> dict[str, Path]:
    return dict.fromkeys(("query", "passage"), save(bert(), folder, 512))


def write_repllama(folder: Path) -> dict[str, Path]:
    base = save(Toy("llama", {**GROUPED, "max_position_embeddings": 4096}, "llama"), folder / "base", 4096)
    return dict.fromkeys(("query", "passage"), add_adapter(base, folder / "adapter", seed=1))


def write_llm2vec(folder: Path) -> dict[str, Path]:
    base = save(Toy("llama", {**GROUPED, "max_position_embeddings": 4096}, "llama"), folder / "base", 4096)
    mntp = add_adapter(base, folder / "mntp", seed=1)
    return dict.fromkeys(("query", "passage"), add_adapter(base, folder / "supervised", seed=2, named=mntp))


def add_adapter(base: Path, folder: Path, *, seed: int, named: Path | None = None) -> Path:
    """Write a LoRA adapter of seeded noise over a base; `named` is what its configuration calls the base."""
    with quiet():
        model = AutoModel.from_pretrained(base)
        lora = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type=TaskType.FEATURE_EXTRACTION)
        wrapped = get_peft_model(model, lora)
    own = {id(p) for n, p in wrapped.named_parameters() if "lora" not in n}
    kept = {n: p.detach().clone() for n, p in wrapped.named_parameters() if id(p) in own}
    scatter(wrapped, seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if name in kept:
                parameter.copy_(kept[name])
    wrapped.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    write(folder / "adapter_config.json", {**settings, "base_model_name_or_path": str(named or base)})
    return folder


OTHERS: dict[str, Callable[[Path], dict[str, Path]]] = {
    "dpr": write_dpr,
    "contriever": write_contriever,
    "repllama": write_repllama,
    "llm2vec": write_llm2vec,
}
