"""Read sentence-transformers folders of both versions: transformer, pooling, head and prompts from modules.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import nn

from retroscope.encoders.checkpoints.backbones import Choice
from retroscope.encoders.checkpoints.folders import MODULES, read_json, read_json_list
from retroscope.encoders.checkpoints.head_modules import HEADS
from retroscope.encoders.checkpoints.values import flag, group, inside, needed_text, text, texts, whole_number
from retroscope.errors import LONGEST_VALUE, EncoderError, cut, did_you_mean, excerpt, listed
from retroscope.files.reading import DOWNLOAD_AGAIN
from retroscope.files.strict_json import names_twice

SETTINGS = "config_sentence_transformers.json"
TRANSFORMER_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Keys of the transformer's settings that do not touch the vector of a text.
HARMLESS = frozenset({"transformer_task", "modality_config", "module_output_name", "unpad_inputs", "config_args"})
OUR_POOLINGS: Mapping[str, str] = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "lasttoken": "last_token",
    "weightedmean": "weighted_mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
}
POOLING_KEYS: Mapping[str, str] = {  # first generation: one boolean per mode
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ROUTES: Mapping[str, tuple[str, ...]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}
PROMPTS: Mapping[str, tuple[str, ...]] = ROUTES


@dataclass(frozen=True)
class Module:
    """One entry of modules.json: the last part of its type, e.g. "Pooling", and its folder."""

    kind: str
    folder: Path


@dataclass(frozen=True, eq=False)
class Modules:
    """The content of a sentence-transformers folder: transformer, modules after the pooling, and encoding settings.

    Attributes:
        transformer: the folder of the backbone.
        head: modules after the pooling.
        head_names: names of the modules of `head` in order, e.g. ("dense", "normalize").
        lower_case: whether texts are lower-cased before they are tokenised.
    """

    transformer: Path
    head: nn.Sequential
    head_names: tuple[str, ...]
    choices: Mapping[str, Choice]
    lower_case: bool


def has_routes(folder: Path) -> bool:
    """Return whether queries and passages go through different modules (a Router)."""
    return (
        any(module.kind in ("Router", "Asym") for module in _listed(folder)) if (folder / MODULES).is_file() else False
    )


def read_modules(folder: Path, tower: str) -> Modules:
    """Read the modules that encode queries or passages (`tower`). Raise an EncoderError for an unknown module type."""
    modules = [part for module in _listed(folder) for part in _route(module, tower)]
    if [module.kind for module in modules[:2]] != ["Transformer", "Pooling"]:
        raise EncoderError(
            f"the first modules must be Transformer and Pooling, found {', '.join(m.kind for m in modules) or 'none'}",
            where=str(folder / MODULES),
            fix="give a dense transformer; static, sparse and multi-vector models are not supported",
        )
    transformer, pooling, *rest = modules
    unknown = [module.kind for module in rest if module.kind not in HEADS]
    if unknown:
        raise EncoderError(
            f"the modules after the pooling must be of the types {', '.join(HEADS)}; found {', '.join(unknown)}",
            where=str(folder / MODULES),
            fix="list every module once, in the order in which the modules are applied",
        )
    parts = [(module.kind, HEADS[module.kind](module.folder)) for module in rest]
    applied = [(kind, part) for kind, part in parts if part is not None]
    settings, lower = _transformer_choices(transformer.folder)
    choices = {**_root_choices(folder), **settings, **_pooling_choices(pooling.folder)}
    if applied and applied[-1][0] == "Normalize":
        choices.setdefault("similarity", Choice("cosine", "checkpoint: its last module normalises"))
    choices.setdefault("similarity", Choice("cosine", "default of sentence-transformers", recorded=False))
    names = tuple(kind.lower() for kind, _ in applied)
    return Modules(transformer.folder, nn.Sequential(*(part for _, part in applied)), names, choices, lower)


def _listed(folder: Path) -> list[Module]:
    where = folder / MODULES
    rows = read_json_list(where)
    _check_order(rows, where)
    places = [inside(folder, needed_text(row, "path", where), where) for row in rows]
    return [_module(needed_text(row, "type", where), place, where) for row, place in zip(rows, places, strict=True)]


def _check_order(rows: Sequence[Mapping[str, Any]], where: Path) -> None:
    """Refuse modules whose order is ambiguous, or of which sentence-transformers would drop one.

    sentence-transformers applies modules in the order of the list, ignores `idx`, and keeps one module for each name.
    """
    places = [_place(row, where) for row in rows]
    names = names_twice([name for row in rows if (name := text(row, "name", where)) is not None])
    wrong = f"the name {excerpt(names[0])} occurs more than once" if names else ""
    if any(later <= earlier for earlier, later in pairwise(places)):
        wrong = f"idx of the modules must rise from each to the next, found {excerpt(places)}"
    if wrong:
        raise EncoderError(
            wrong,
            where=str(where),
            fix="list every module once, in the order in which the modules are applied, each with its own name and idx",
        )


def _place(row: Mapping[str, Any], where: Path) -> int:
    """Return the position of a module in the sequence, its `idx` in modules.json."""
    place = row.get("idx")
    if not isinstance(place, int) or isinstance(place, bool) or place < 0:
        raise EncoderError(
            f"idx of a module must be a whole number of at least 0, found {excerpt(place)}",
            where=str(where),
            fix=DOWNLOAD_AGAIN,
        )
    return place


def _module(kind: str, folder: Path, where: Path) -> Module:
    package, _, name = kind.rpartition(".")
    known = {"Transformer", "Pooling", "Router", "Asym", *HEADS}
    if not package.startswith("sentence_transformers") or name not in known:
        raise EncoderError(f"unknown module type {excerpt(kind)}", where=str(where), fix=did_you_mean(name, known))
    return Module(name, folder)


def _route(module: Module, tower: str) -> list[Module]:
    """Return the modules to which a router sends queries or passages (`tower`), or `module` if it is no router."""
    if module.kind not in ("Router", "Asym"):
        return [module]
    where = module.folder / "router_config.json"
    raw = read_json(module.folder, "router_config.json") or read_json(module.folder, "config.json")
    structure, types = group(raw, "structure", where), group(raw, "types", where)
    default = text(group(raw, "parameters", where), "default_route", where)
    route = next((name for name in (*ROUTES[tower], default) if name in structure), None)
    if route is None:
        raise EncoderError(
            f"the router has no route for the {tower} tower; its routes: {', '.join(structure) or 'none'}",
            where=str(module.folder),
            fix="name the routes of the router 'query' and 'document'",
        )
    names = texts(structure, route, where)
    return [_module(needed_text(types, name, where), inside(module.folder, name, where), where) for name in names]


def _pooling_choices(folder: Path) -> dict[str, Choice]:
    raw = read_json(folder, "config.json")
    file = folder / "config.json"
    flagged = [mode for key, mode in POOLING_KEYS.items() if flag(raw, key, file)]
    declared = raw.get("pooling_mode") or flagged
    modes = [str(mode) for mode in declared] if isinstance(declared, list) else [str(declared)]
    modes += flagged if flagged != modes else []  # a folder that records both must record one pooling
    where = f"{folder.name}/config.json"
    if len(modes) != 1 or modes[0] not in OUR_POOLINGS:
        raise EncoderError(
            f"the pooling mode must be exactly one known name, found {cut(' + '.join(modes), LONGEST_VALUE) or 'none'}",
            where=str(file),
            fix=f"give a model with one of the pooling modes {', '.join(OUR_POOLINGS)}",
        )
    source = f"checkpoint: {where}"
    include = flag(raw, "include_prompt", file, default=True)
    return {"pooling": Choice(OUR_POOLINGS[modes[0]], source), "pool_prompt": Choice(include, source)}


def _transformer_choices(folder: Path) -> tuple[dict[str, Choice], bool]:
    file = next((name for name in TRANSFORMER_SETTINGS if (folder / name).is_file()), TRANSFORMER_SETTINGS[0])
    raw = read_json(folder, file)
    _refuse_unknown(raw, folder / file)
    where = folder / file
    of_texts = group(group(raw, "processing_kwargs", where), "text", where)
    lengths = {
        "max_length": whole_number(of_texts, "max_length", where) or whole_number(raw, "max_seq_length", where),
        "query_max_length": whole_number(raw, "query_length", where),
        "passage_max_length": whole_number(raw, "document_length", where),
    }
    choices = {name: Choice(value, f"checkpoint: {file}") for name, value in lengths.items() if value is not None}
    return choices, flag(raw, "do_lower_case", where)


def _refuse_unknown(raw: Mapping[str, Any], where: Path) -> None:
    """Refuse unknown settings of the transformer module, which may change its input or output."""
    understood = HARMLESS | {"max_seq_length", "do_lower_case", "query_length", "document_length", "processing_kwargs"}
    processing = group(raw, "processing_kwargs", where)
    problems = [key for key, value in raw.items() if key not in understood and value]
    if raw.get("transformer_task", "feature-extraction") != "feature-extraction":
        problems.append(f"transformer_task {raw['transformer_task']}")
    if raw.get("module_output_name", "token_embeddings") != "token_embeddings":
        problems.append(f"module_output_name {raw['module_output_name']}")
    modality = group(raw, "modality_config", where)
    method = text(group(modality, "text", where), "method", where) or "forward"
    if method != "forward":
        problems.append(f"modality_config: texts go through the method {method}")
    if "message" in modality:
        problems.append("modality_config: texts become messages of a chat, by the tokenizer's template")
    problems += [f"processing_kwargs: {key}" for key, value in processing.items() if key != "text" and value]
    problems += [f"processing_kwargs: text.{key}" for key in group(processing, "text", where) if key != "max_length"]
    if problems:
        raise EncoderError(
            f"these settings of the transformer module are not supported:{listed(problems)}",
            where=str(where),
            fix="remove those that do not change the vectors, or give the transformer's own folder and its pooling "
            "(e.g. --pooling mean; in Python pooling='mean')",
        )


def _root_choices(folder: Path) -> dict[str, Choice]:
    raw, where = read_json(folder, SETTINGS), folder / SETTINGS
    source = f"checkpoint: {SETTINGS}"
    prompts = group(raw, "prompts", where)
    declared = {name: text(prompts, name, where) for name in prompts}  # every one, used or not
    usual = text(raw, "default_prompt_name", where)
    if usual is not None and usual not in prompts:
        what = f"default_prompt_name is {excerpt(usual)}, which is not among the prompts"
        raise EncoderError(what, where=str(where), fix="add it to `prompts`, or remove default_prompt_name")
    choices = {}
    for tower, names in PROMPTS.items():
        name = next((name for name in (*names, usual) if name in prompts), None)
        if name is not None and declared[name] is not None:
            choices[f"{tower}_prompt"] = Choice(declared[name], f"{source}, prompt {name!r}")
    similarity, dim = text(raw, "similarity_fn_name", where), whole_number(raw, "truncate_dim", where)
    if similarity is not None:
        choices["similarity"] = Choice(similarity, source)
    if dim is not None:
        choices["truncate_dim"] = Choice(dim, source)
    return choices
