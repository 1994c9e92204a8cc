"""Hostile checkpoints: every file of a model folder, damaged and forged in every way that was thought of."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hostile_case import BROKEN_JSON, NO_SIZES, NO_TEXTS, Case, Cases, edited, put
from safetensors.torch import load_file, save_file

from toys import save_toy

Edit = Callable[[Path], Any]
DOORS = ("retriever", "weights")
SIZES = {
    "bert": ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "max_position_embeddings",
             "type_vocab_size"),
    "llama": ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_key_value_heads", "head_dim"),
    "t5": ("d_model", "num_layers", "d_ff", "vocab_size", "d_kv"),
    "modernbert": ("hidden_size", "num_hidden_layers", "intermediate_size"),
    "gpt2": ("n_embd", "n_layer", "n_positions"),
    "dpr-context": ("hidden_size", "num_hidden_layers", "projection_dim"),
}  # fmt: skip
# Fields whose wrong values may be harmless, since a bare encoder does not read them.
OTHERS = {
    "bert": ("num_attention_heads", "hidden_act", "layer_norm_eps", "pad_token_id", "num_labels", "id2label", "dtype",
             "torch_dtype", "architectures", "auto_map", "is_decoder", "chunk_size_feed_forward", "pruned_heads",
             "transformers_version", "tie_word_embeddings", "hidden_dropout_prob", "position_embedding_type"),
    "llama": ("rope_theta", "rope_parameters", "rope_scaling", "hidden_act", "rms_norm_eps", "num_attention_heads",
              "attention_bias", "layer_types", "sliding_window", "max_position_embeddings", "initializer_range"),
    "modernbert": ("layer_types", "global_attn_every_n_layers", "local_attention", "rope_parameters"),
    "t5": ("feed_forward_proj", "relative_attention_num_buckets", "relative_attention_max_distance", "num_heads"),
    "gpt2": ("activation_function", "n_head", "n_inner", "reorder_and_upcast_attn"),
}  # fmt: skip
FAMILIES = tuple({**SIZES, **OTHERS})


@cache
def shelf() -> TemporaryDirectory[str]:
    """The folder of sound checkpoints; it goes with this process."""
    return TemporaryDirectory(prefix="hostile-")


@cache
def toy(name: str) -> Path:
    """A sound checkpoint, made once."""
    return save_toy(name, Path(shelf().name) / name)


def make_toys() -> None:
    """Make all of them, before children are forked that would each do so."""
    for name in FAMILIES:
        toy(name)
    gguf()


def of(name: str, edit: Edit, folder: Path) -> Path:
    """A copy of a sound checkpoint, with one thing wrong."""
    place = folder / "model"
    shutil.copytree(toy(name), place)
    result = edit(place)
    return result if isinstance(result, Path) else place


def setting(file: str, field: str, value: Any) -> Edit:
    return lambda place: edited(place / file, **{field: value})


def content(file: str, data: bytes) -> Edit:
    return lambda place: (put(place / file, data), None)[1]


def both(kind: str, name: str, make: Callable[[Path], Any], refused: bool = True) -> Cases:
    for door in DOORS:
        yield Case(door, kind, name, make, refused)


def of_configs() -> Cases:
    for family, names in SIZES.items():
        for field in names:
            for label, value in NO_SIZES.items():
                edit = setting("config.json", field, value)
                harmless = (field == "projection_dim" and label == "zero") or label == "digits"
                yield from both("size in config.json", f"{family} {field} {label}", partial(of, family, edit),
                                not harmless)  # fmt: skip
    for family, names in OTHERS.items():
        for field in names:
            for label, value in {**NO_SIZES, **NO_TEXTS, "null": None}.items():
                edit = setting("config.json", field, value)
                yield from both("field of config.json", f"{family} {field} {label}", partial(of, family, edit), False)


def of_special_configs() -> Cases:
    known: dict[str, Any] = {
        "quantisation unknown": {"quantization_config": {"quant_method": "no-such-method", "bits": 4}},
        "quantisation bitsandbytes": {"quantization_config": {"load_in_4bit": True, "quant_method": "bitsandbytes"}},
        "quantisation gptq": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        "quantisation without method": {"quantization_config": {"bits": 4}},
        "quantisation text": {"quantization_config": "4bit"},
        "attention of the hub": {"attn_implementation": "evil/kernel"},
        "attention of the hub, private": {"_attn_implementation": "evil/kernel"},
        "unknown family": {"model_type": "no-such"},
        "family is a list": {"model_type": ["bert"]},
        "family is a number": {"model_type": 5},
        "family of code": {"model_type": "../../x"},
        "another family": {"model_type": "llama"},
        "unknown activation": {"hidden_act": "no_such_activation"},
        "remote code": {"auto_map": {"AutoConfig": "evil--code.Config", "AutoModel": "evil--code.Model"}},
        "many labels": {"num_labels": 10**9},
        "a megabyte of text": {"model_type": "x" * 10**6},
    }
    for name, changes in known.items():
        refused = name not in ("remote code",)
        edit = partial(lambda place, changes: edited(place / "config.json", **changes), changes=changes)
        yield from both("special config.json", name, partial(of, "bert", edit), refused)
    for name, changes in {
        "rope of an unknown type": {"rope_parameters": {"rope_type": "no-such", "rope_theta": 1.0}},
        "rope with huge factors": {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0] * 10**5}},
        "layer types unknown": {"layer_types": ["no-such"] * 2},
        "layer types too many": {"layer_types": ["full_attention"] * 1000},
    }.items():
        edit = partial(lambda place, changes: edited(place / "config.json", **changes), changes=changes)
        yield Case("retriever", "special config.json", name, partial(of, "llama", edit), "layer types" not in name)


def of_json_files() -> Cases:
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        for name, data in BROKEN_JSON.items():
            harmless = file != "config.json" and name in ("repeated key", "long number", "null", "a list", "a number",
                                                          "empty", "half")  # fmt: skip
            doors = DOORS if file == "config.json" else DOORS[:1]
            for door in doors:
                yield Case(door, f"broken {file}", name, partial(of, "bert", content(file, data)), not harmless)


def of_tokenizers() -> Cases:
    for field in ("model_max_length", "padding_side", "truncation_side", "pad_token", "unk_token", "cls_token",
                  "tokenizer_class", "added_tokens_decoder", "extra_special_tokens", "do_lower_case", "auto_map",
                  "chat_template", "model_input_names"):  # fmt: skip
        for label, value in {**NO_SIZES, **NO_TEXTS}.items():
            edit = setting("tokenizer_config.json", field, value)
            yield Case("retriever", "field of tokenizer_config.json", f"{field} {label}", partial(of, "bert", edit),
                       False)  # fmt: skip
    for field in ("model", "normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "truncation",
                  "padding", "version"):  # fmt: skip
        for label, value in {
            "text": "abc",
            "number": 3,
            "list": [1],
            "object": {"type": "NoSuch"},
            "null": None,
        }.items():
            edit = setting("tokenizer.json", field, value)
            yield Case("retriever", "part of tokenizer.json", f"{field} {label}", partial(of, "bert", edit), False)
    slow = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    swollen = {"type": "Prepend", "prepend": "x" * 10**7}
    pads = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"}  # fmt: skip
    far = [{"id": 10**9, "content": "far", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False}]  # fmt: skip
    for name, edit in {
        "slow pattern": setting("tokenizer.json", "pre_tokenizer", slow),
        "text that swells": setting("tokenizer.json", "normalizer", swollen),
        "fixed padding": setting("tokenizer.json", "padding", pads),
        "tokens far away": setting("tokenizer.json", "added_tokens", far),
    }.items():
        yield Case("encode", "forged tokenizer.json", name, partial(of, "bert", edit), False)


def of_weights() -> Cases:
    def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], place: Path) -> None:
        file = place / "model.safetensors"
        save_file(change(load_file(file)), file, {"format": "pt"})

    changes: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
        "none": lambda t: {},
        "one lacks": lambda t: dict(list(t.items())[1:]),
        "one is complex": lambda t: {**t, next(iter(t)): t[next(iter(t))].to(torch.complex64)},
        "all are complex": lambda t: {n: v.to(torch.complex64) for n, v in t.items()},
        "one is of whole numbers": lambda t: {**t, next(iter(t)): t[next(iter(t))].to(torch.int8)},
        "one is of truths": lambda t: {**t, next(iter(t)): t[next(iter(t))] > 0},
        "one is not a number": lambda t: {**t, next(iter(t)): t[next(iter(t))] * float("nan")},
        "one is infinite": lambda t: {**t, next(iter(t)): torch.full_like(t[next(iter(t))], float("inf"))},
        "one has another shape": lambda t: {**t, next(iter(t)): torch.zeros(3, 3)},
        "one is a number": lambda t: {**t, next(iter(t)): torch.tensor(1.0)},
        "one is empty": lambda t: {**t, next(iter(t)): torch.zeros(0, 16)},
        "one more": lambda t: {**t, "surprise": torch.zeros(3)},
        "a name of control characters": lambda t: {**t, "\x1b[31mred\u202e": torch.zeros(3)},
    }
    for name, change in changes.items():
        harmless = name in ("one is infinite",)
        yield Case("retriever", "tensors", name, partial(of, "bert", partial(tensors, change)), not harmless)
        unread = harmless or name in ("one more", "a name of control characters", "one is not a number")
        yield Case("weights", "tensors", name, partial(of, "bert", partial(tensors, change)), not unread)
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    files = {
        "empty": b"",
        "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n",
        "huge header": struct.pack("<Q", 2**62) + b"{}",
        "header beyond the file": struct.pack("<Q", 10**6) + b"{}",
        "header is a list": struct.pack("<Q", 2) + b"[]",
        "header is deep": struct.pack("<Q", 200_000) + b"[" * 200_000,
        "tensor beyond the file": struct.pack("<Q", len(header)) + header,
        "shape overflows": struct.pack("<Q", 77)
        + b'{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,16]}}   ',
        "zeros": bytes(4096),
    }
    for name, data in files.items():
        yield from both("model.safetensors", name, partial(of, "bert", content("model.safetensors", data)))

    def cut(share: float, place: Path) -> None:
        file = place / "model.safetensors"
        put(file, file.read_bytes()[: int(share * file.stat().st_size)])

    for share in (0.01, 0.5, 0.99):
        yield from both("model.safetensors", f"cut at {share}", partial(of, "bert", partial(cut, share)))


def of_weight_maps() -> Cases:
    def mapped(value: Any, place: Path) -> None:
        (place / "model.safetensors").rename(place / "model-00001-of-00001.safetensors")
        put(place / "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": value}))

    for name, value in {
        "a list": ["a"], "text": "abc", "number": 3, "of numbers": {"a": 3}, "of lists": {"a": ["b"]},
        "of null": {"a": None}, "empty": {}, "absent file": {"a": "no.safetensors"}, "leads up": {"a": "../../x"},
        "absolute": {"a": "/etc/passwd"}, "a device": {"a": "/dev/zero"}, "a folder": {"a": "."},
        "a long name": {"a": "x" * 5000}, "NUL": {"a": "a\0b"}, "a pickle": {"a": "pytorch_model.bin"},
    }.items():  # fmt: skip
        yield from both("weight_map", name, partial(of, "bert", partial(mapped, value)))


def odd(kind: str, path: Path) -> None:
    """Put something in the place of a file that is no file."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "lost link":
        path.symlink_to("no-such-file")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        import socket

        with socket.socket(socket.AF_UNIX) as door:
            here = Path.cwd()
            os.chdir(path.parent)
            try:
                door.bind(path.name)
            finally:
                os.chdir(here)


ODD = ("pipe", "folder", "loop", "lost link", "device", "socket")


def of_odd_files() -> Cases:
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "vocab.txt",
                 "special_tokens_map.json", "model.safetensors.index.json", "modules.json", "adapter_config.json",
                 "README.md", "generation_config.json"):  # fmt: skip
        needed = file in ("config.json", "tokenizer.json", "model.safetensors")
        for kind in ODD:
            edit = partial(lambda place, kind, file: odd(kind, place / file), kind=kind, file=file)
            yield Case("retriever", "no regular file", f"{file} {kind}", partial(of, "bert", edit), needed)
            if file in ("config.json", "model.safetensors"):
                yield Case("weights", "no regular file", f"{file} {kind}", partial(of, "bert", edit))


def of_names() -> Cases:
    for name, text in {
        "nobody's home": "~nosuchuser/x", "long": "x" * 5000, "long path": "/" + "x" * 300 + "/y", "NUL": "a\0b",
        "empty": "", "a dot that lacks": "./no-such", "a device": "/dev/zero", "null device": "/dev/null",
        "a hub name": "no-such/model", "a hub name of dots": "../x", "control": "a\x1b[31m/b", "a folder": "/etc",
        "a text file": "/etc/hostname", "line break": "a\nb", "surrogate": "a\udc80b", "spaces": "  ", "a URL":
        "https://example.com/x", "a scheme": "file:///etc/passwd", "many slashes": "a/" * 3000,
    }.items():  # fmt: skip
        yield from both("name of a model", name, lambda folder, text=text: text)


def st(folder: Path) -> Path:
    """A sentence-transformers folder."""
    place = folder / "model"
    shutil.copytree(toy("bert"), place / "0_Transformer")
    rows = [("0", "Transformer", "0_Transformer"), ("1", "Pooling", "1_Pooling"), ("2", "Dense", "2_Dense")]
    put(place / "modules.json", json.dumps([
        {"idx": int(n), "name": n, "path": path, "type": f"sentence_transformers.models.{kind}"} for n, kind, path in rows
    ]))  # fmt: skip
    put(place / "1_Pooling/config.json", json.dumps({"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}))
    put(place / "2_Dense/config.json", json.dumps({"in_features": 16, "out_features": 8, "bias": True}))
    save_file({"linear.weight": torch.ones(8, 16), "linear.bias": torch.ones(8)}, place / "2_Dense/model.safetensors")
    put(place / "config_sentence_transformers.json", json.dumps({"prompts": {"query": "q: "}}))
    return place


def of_st(edit: Edit, folder: Path) -> Path:
    place = st(folder)
    edit(place)
    return place


def of_modules() -> Cases:
    rows: dict[str, Any] = {
        "not a list": {}, "of numbers": [1], "empty": [], "without idx": [{"name": "0", "path": "", "type": "x"}],
        "without path": [{"idx": 0, "type": "sentence_transformers.models.Transformer"}],
        "without type": [{"idx": 0, "path": ""}], "idx is text": [{"idx": "a", "path": "", "type": "x"}],
        "idx is huge": [{"idx": 10**400, "path": "", "type": "x"}], "path is a list": [{"idx": 0, "path": [], "type": "x"}],
        "type is a number": [{"idx": 0, "path": "", "type": 3}], "type is code": [{"idx": 0, "path": "", "type": "os.system"}],
        "leads up": [{"idx": 0, "path": "../../..", "type": "sentence_transformers.models.Transformer"},
                     {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
        "absolute": [{"idx": 0, "path": "/etc", "type": "sentence_transformers.models.Transformer"},
                     {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
        "no such folder": [{"idx": 0, "path": "no", "type": "sentence_transformers.models.Transformer"},
                           {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}],
        "many": [{"idx": n, "path": "", "type": "sentence_transformers.models.Transformer"} for n in range(10_000)],
    }  # fmt: skip
    for name, value in rows.items():
        yield Case(
            "retriever", "modules.json", name, partial(of_st, content("modules.json", json.dumps(value).encode()))
        )
    for name, data in BROKEN_JSON.items():
        yield Case("retriever", "modules.json", name, partial(of_st, content("modules.json", data)))
        for file in ("1_Pooling/config.json", "2_Dense/config.json", "config_sentence_transformers.json"):
            yield Case("retriever", f"broken {file}", name, partial(of_st, content(file, data)))
    fields = {
        "1_Pooling/config.json": ("pooling_mode", "pooling_mode_mean_tokens", "pooling_mode_cls_token", "include_prompt"),
        "2_Dense/config.json": ("in_features", "out_features", "bias", "activation_function", "use_residual",
                                "module_input_name"),
        "config_sentence_transformers.json": ("prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim"),
        "0_Transformer/sentence_bert_config.json": ("max_seq_length", "do_lower_case", "processing_kwargs",
                                                    "modality_config", "transformer_task", "query_length"),
    }  # fmt: skip
    for file, names in fields.items():
        for field in names:
            for label, value in {**NO_SIZES, **NO_TEXTS}.items():
                edit = setting(file, field, value)
                yield Case("retriever", f"field of {file}", f"{field} {label}", partial(of_st, edit), False)
    for field, value in {"in_features": 10**9, "out_features": 10**9}.items():
        yield Case("retriever", "size of a head", field, partial(of_st, setting("2_Dense/config.json", field, value)))
    long = setting("config_sentence_transformers.json", "prompts", {"query": "x" * 10**7})
    yield Case("retriever", "long prompt", "10 MB", partial(of_st, long))
    routed = {
        "structure": {"query": ["0"], "document": ["0"]},
        "types": {"0": "sentence_transformers.models.Transformer"},
    }
    for name, value in {
        "empty": {}, "no types": {"structure": routed["structure"]}, "structure is a list": {"structure": []},
        "route is text": {**routed, "structure": {"query": "0", "document": "0"}},
        "route of numbers": {**routed, "structure": {"query": [0], "document": [0]}},
        "type is a number": {**routed, "types": {"0": 3}}, "leads up": {**routed, "structure": {"query": ["../.."],
        "document": ["../.."]}, "types": {"../..": "sentence_transformers.models.Transformer"}},
        "parameters is a list": {**routed, "parameters": []},
    }.items():  # fmt: skip

        def routes(place: Path, value: Any = value) -> None:
            put(place / "modules.json", json.dumps([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]))  # fmt: skip
            put(place / "router_config.json", json.dumps(value))

        yield Case("retriever", "router_config.json", name, partial(of_st, routes))


LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"], "task_type": "FEATURE_EXTRACTION"}


def adapter(changes: dict[str, Any], folder: Path, base: str | None = None) -> Path:
    """A LoRA adapter over the toy BERT."""
    place = folder / "adapter"
    put(
        place / "adapter_config.json",
        json.dumps({**LORA, "base_model_name_or_path": base or str(toy("bert")), **changes}),
    )
    tensors = {}
    for block in range(2):
        name = f"base_model.model.encoder.layer.{block}.attention.self.query"
        tensors |= {f"{name}.lora_A.weight": torch.ones(2, 16), f"{name}.lora_B.weight": torch.ones(16, 2)}
    save_file(tensors, place / "adapter_model.safetensors", {"format": "pt"})
    return place


def of_adapters() -> Cases:
    values = {**NO_SIZES, **NO_TEXTS}
    for field in (
        "r",
        "lora_alpha",
        "target_modules",
        "peft_type",
        "base_model_name_or_path",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers_to_transform",
        "layers_pattern",
        "use_dora",
        "task_type",
        "init_lora_weights",
        "bias",
        "fan_in_fan_out",
        "lora_dropout",
        "exclude_modules",
        "revision",
        "use_rslora",
        "loftq_config",
        "trainable_token_indices",
        "target_parameters",
        "no_such_field",
    ):
        for label, value in values.items():
            must = field == "r" and label != "digits"
            yield from both("field of adapter_config.json", f"{field} {label}", partial(adapter, {field: value}), must)
    bad = ["(a+)+$", "(.*)*x", "(a|a)*b", ".*.*.*.*.*.*.*.*.*.*x", "(", "[", "*", "(?P<x>a)(?P<x>b)", "a" * 100_000,
           "(" * 5000, r"((.*)+)+\d", "(?:.+)+z", "a{1000000}{1000000}"]  # fmt: skip
    for number, pattern in enumerate(bad):
        yield from both("pattern of an adapter", f"target {number}", partial(adapter, {"target_modules": pattern}))
        keyed = {"rank_pattern": {pattern: 3}}
        yield from both("pattern of an adapter", f"rank {number}", partial(adapter, keyed), False)
    for name, data in BROKEN_JSON.items():
        yield from both("broken adapter_config.json", name, lambda folder, data=data: (
            put(adapter({}, folder) / "adapter_config.json", data).parent))  # fmt: skip
    yield from both("base of an adapter", "itself", lambda folder: adapter({}, folder, str(folder / "adapter")))
    yield from both("base of an adapter", "itself, by a dot", lambda folder: adapter({}, folder, "."))

    def two(folder: Path) -> Path:
        adapter({}, folder / "a", str(folder / "b" / "adapter"))
        return adapter({}, folder / "b", str(folder / "a" / "adapter"))

    def many(folder: Path) -> Path:
        last = str(toy("bert"))
        for number in range(40):
            last = str(adapter({}, folder / str(number), last))
        return Path(last)

    yield from both("base of an adapter", "each other", two)
    yield from both("base of an adapter", "a chain of forty", many)
    for name, text in {"nobody's home": "~nosuchuser/x", "long": "x" * 5000, "a device": "/dev/zero", "NUL": "a\0b",
                       "empty": "", "a file": "/etc/hostname", "a folder": "/etc"}.items():  # fmt: skip
        yield from both("base of an adapter", name, partial(adapter, {"base_model_name_or_path": text}))


@cache
def gguf() -> bytes:
    """A small sound GGUF file."""
    from gguf import GGUFWriter

    file = Path(shelf().name) / "toy.gguf"
    tensors = load_file(toy("llama") / "model.safetensors")
    writer = GGUFWriter(str(file), "llama")
    for name, value in {"block_count": 2, "context_length": 64, "embedding_length": 16, "feed_forward_length": 24,
                        "head_count": 2, "head_count_kv": 1, "vocab_size": 160}.items():  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-6)
    tokens = [f"t{n}" for n in range(160)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_merges(["t 1"])
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file.read_bytes()


def of_gguf() -> Cases:
    def kv(name: bytes, kind: int, data: bytes) -> bytes:
        return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + data

    def head(tensors: int, pairs: int, body: bytes = b"") -> bytes:
        return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + body

    arch = kv(b"general.architecture", 8, struct.pack("<Q", 5) + b"llama")
    forged = {
        "empty": b"", "magic": b"GGUX" + bytes(100), "version": b"GGUF" + struct.pack("<I", 99) + bytes(100),
        "only magic": b"GGUF", "pairs without end": head(0, 2**60), "tensors without end": head(2**60, 0),
        "an array without end": head(0, 1, kv(b"a", 9, struct.pack("<IQ", 0, 2**60))),
        "arrays in arrays": head(0, 1, kv(b"a", 9, struct.pack("<IQ", 9, 1) * 50_000)),
        "a text without end": head(0, 1, kv(b"a", 8, struct.pack("<Q", 2**60))),
        "an unknown type": head(0, 1, kv(b"a", 99, bytes(16))),
        "a key without end": head(0, 1, struct.pack("<Q", 2**50)), "zeros": bytes(4096),
        "no tensors": head(0, 1, arch), "nothing": head(0, 0), "text": b"not a model" * 100,
        "blocks without end": head(0, 2, arch + kv(b"llama.block_count", 4, struct.pack("<I", 2**31))),
        "unknown architecture": head(0, 1, kv(b"general.architecture", 8, struct.pack("<Q", 4) + b"evil")),
        "repeated key": head(0, 2, arch + arch), "name not UTF-8": head(0, 1, kv(b"\xff\xfe", 0, b"\0")),
        "dimensions overflow": head(1, 1, arch + struct.pack("<Q", 1) + b"t" + struct.pack("<IQQIQ", 2, 2**62, 8, 0, 0)),
        "dimensions without end": head(1, 1, arch + struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**31)),
    }  # fmt: skip
    for name, data in forged.items():
        yield from both("GGUF", name, lambda folder, data=data: put(folder / "x.gguf", data))
    for share in (0.02, 0.3, 0.9, 0.999):
        yield from both("GGUF", f"cut at {share}", lambda folder, share=share: (
            put(folder / "x.gguf", gguf()[: int(share * len(gguf()))])))  # fmt: skip
    for kind in ODD:
        yield from both("GGUF", kind, lambda folder, kind=kind: (odd(kind, folder / "x.gguf"), folder / "x.gguf")[1])


def model_cases() -> Cases:
    """Every hostile checkpoint."""
    for group in (of_configs, of_special_configs, of_json_files, of_tokenizers, of_weights, of_weight_maps,
                  of_odd_files, of_names, of_modules, of_adapters, of_gguf):  # fmt: skip
        yield from group()
