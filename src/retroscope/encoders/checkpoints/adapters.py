"""Load PEFT adapters: find the base model, merge the adapter into it in float32, verify that weights changed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from retroscope.encoders.checkpoints.adapter_settings import read_settings
from retroscope.encoders.checkpoints.backbones import Backbone, How, loader_for
from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, MODULES, base_beside, locate, quiet, read_json
from retroscope.encoders.checkpoints.modules import read_modules
from retroscope.encoders.checkpoints.tokenizers import has_tokenizer
from retroscope.encoders.checkpoints.values import text
from retroscope.encoders.checks.disk import ADAPTER, Disk, open_disk
from retroscope.encoders.checks.weights import unused_reason
from retroscope.errors import EncoderError, listed
from retroscope.files.reading import foreign

LONGEST_CHAIN = 8  # adapters over adapters
GIVE_BASE = "(e.g. --set after.load.base=NAME, or `retroscope diff --base NAME`; in Python base='NAME')"
CHECK_BASE = f"correct base_model_name_or_path in adapter_config.json, or give the right base model {GIVE_BASE}"
PEFT_PREFIX = "base_model.model."
SAVED = ".modules_to_save."  # of a module that is trained whole


def load_backbone(path: Path, how: How, base: str | None = None, tower: str = "passage") -> Backbone:
    """Load the backbone of a checkpoint folder or GGUF file. An adapter is merged into its base model.

    Args:
        base: base model of an adapter, if not the one that its settings name.
        tower: "query" or "passage": which transformer of the base model to use, if it has one for each tower.
    """
    if path.is_dir() and (path / ADAPTER_CONFIG).is_file():
        return load_adapter(path, how, base, tower)
    refuse_base(path, base)
    return loader_for(path)(path, how)


def refuse_base(path: Path, base: str | None) -> None:
    """Refuse a base model that was given for a checkpoint that is not an adapter, because it would have no effect."""
    if base is not None:
        raise EncoderError(
            f"the base model {base!r} was given, but this checkpoint is not an adapter",
            where=str(path),
            fix=f"leave out the base model, or give the folder of an adapter, which has an {ADAPTER_CONFIG}",
        )


def load_adapter(folder: Path, how: How, base: str | None, tower: str = "passage") -> Backbone:
    """Load an adapter, merged into its base model in float32 and then cast to `how.dtype`.

    The base model may itself be an adapter. Merging in bfloat16 would change vectors by up to 0.03 per coordinate,
    which is more than some measured effects.
    """
    disk = open_disk(folder, stem=ADAPTER)
    settings = read_settings(folder, disk)
    under = load_backbone(base_weights(folder, base, tower), replace(how, dtype=torch.float32), tower=tower)
    tensors = _adapter_tensors(disk, folder)
    misfit = f"the adapter does not fit {type(under.model).__name__}"
    with foreign(EncoderError, misfit, folder, CHECK_BASE), quiet():
        _grow_embedding(under.model, tensors)
        wrapped = get_peft_model(under.model, settings)
        unused, replaced = _attach(wrapped, tensors, folder)
        changed, total = _merge(wrapped, folder, replaced)
        model = wrapped.merge_and_unload()
    note = f"adapter {folder.name} merged in float32: {changed} of {total} adapted modules changed"
    proof = replace(
        under.proof,
        source=f"{folder} over {under.proof.source}",
        unexpected=(*under.proof.unexpected, *unused),
        notes=(*under.proof.notes, note),
    )
    tokenizer = folder if has_tokenizer(folder) else under.tokenizer
    return replace(under, model=model.to(how.dtype), proof=proof, tokenizer=tokenizer)


def locate_base(folder: Path, given: str | None) -> Path:
    """Find the base model of an adapter: `given` if there is one, else the base that its settings name.

    A copy inside the adapter's folder comes before any other place (`base_beside`).
    """
    raw = read_json(folder, ADAPTER_CONFIG)
    source = given or text(raw, "base_model_name_or_path", folder / ADAPTER_CONFIG)
    if not source:
        raise EncoderError(
            f"{ADAPTER_CONFIG} names no base model (base_model_name_or_path)",
            where=str(folder),
            fix=f"give the base model as a folder or a hub name {GIVE_BASE}",
        )
    beside = base_beside(folder, source, given=given is not None)
    if beside is not None:
        return beside
    try:
        return locate(source, text(raw, "revision", folder / ADAPTER_CONFIG) if given is None else None)
    except EncoderError as error:
        raise EncoderError(
            f"the base model {source!r} of this adapter cannot be loaded: {error.what}",
            where=str(folder),
            fix=f"give the base model as a folder or a hub name {GIVE_BASE}",
        ) from error


def base_weights(folder: Path, given: str | None, tower: str = "passage") -> Path:
    """Find the folder or file with the weights of an adapter's base model.

    In a sentence-transformers folder, this is the folder of the tower's transformer.
    """
    path = locate_base(folder, given)
    return read_modules(path, tower).transformer if (path / MODULES).is_file() else path


def records_base(folder: Path, given: str | None) -> bool:
    """Return whether the base model in use (`given` if there is one) is the one that the adapter's settings name.

    If so, other libraries load the same base model. For a folder that is not an adapter, return whether no base model
    is given.
    """
    recorded = text(read_json(folder, ADAPTER_CONFIG), "base_model_name_or_path", folder / ADAPTER_CONFIG)
    if recorded is None:
        return given is None
    source = given or recorded
    used = base_beside(folder, source, given=given is not None) or Path(source)
    return used.resolve() == Path(recorded).resolve()


def check_chain(path: Path, base: str | None = None) -> None:
    """Refuse adapters that name themselves, or each other, as their base model.

    Raises:
        EncoderError: if no base model follows the adapters. It lists them.
    """
    seen: list[Path] = []
    while path.is_dir() and (path / ADAPTER_CONFIG).is_file():
        if path.resolve() in seen or len(seen) == LONGEST_CHAIN:
            chain = listed([str(adapter) for adapter in (*seen, path)])
            raise EncoderError(
                f"no base model was found, since each of these adapters names the next as its base:{chain}",
                where=str(seen[0]),
                fix=CHECK_BASE,
            )
        seen.append(path.resolve())
        path, base = base_weights(path, base), None


def _adapter_tensors(disk: Disk, folder: Path) -> dict[str, Tensor]:
    """Return the adapter's tensors by name.

    If the vocabulary grew, PEFT saves the trained embedding twice: as X.weight and as X.modules_to_save.weight. Both
    must be equal, and one is returned, as X.weight.
    """
    tensors = {name: disk.tensor(name) for name in disk.files}
    for name in [name for name in tensors if SAVED in name]:
        copy, own = tensors.pop(name), name.replace(SAVED, ".")
        if not torch.equal(tensors.setdefault(own, copy), copy):
            raise EncoderError(
                f"the adapter has two different values of one tensor: {name} and {own}",
                where=str(folder),
                fix="save the adapter again with PEFT's save_pretrained",
            )
    return tensors


def endings(key: str) -> list[str]:
    """Return the names that an adapter's tensor may have in a bare backbone: `model.layers.0...`, `layers.0...`."""
    parts = key.removeprefix(PEFT_PREFIX).split(".")
    return [".".join(parts[cut:]) for cut in range(min(3, len(parts)))]


def _in_base(name: str) -> str:
    """Return a tensor's name in the base model, without the `base_layer` that PEFT adds to names of wrapped modules."""
    return name.replace(".base_layer.", ".")


def _grow_embedding(model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
    """Resize the model's embedding to as many rows as the adapter's embedding has, if the adapter has one."""
    table = model.get_input_embeddings().weight
    names = {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is table}
    own = next((tensors[key] for key in tensors if names.intersection(endings(_in_base(key)))), None)
    if own is not None and len(own) != len(table):
        model.resize_token_embeddings(len(own), mean_resizing=False)


def _attach(wrapped: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> tuple[list[str], int]:
    """Copy every tensor of the adapter into the wrapped model, and verify the copies.

    An adapter may also contain weights that replace those of the base model: trained biases, a larger embedding.

    Returns:
        The names of the adapter's tensors for heads, which a backbone does not have, and how many weights of the base
        model were replaced by other values.
    """
    wanted, base = _state(wrapped), wrapped.state_dict()
    places = {_in_base(place).removeprefix(PEFT_PREFIX): place for place in (*base, *wanted)}
    place_of = {key: next((places[e] for e in endings(_in_base(key)) if e in places), None) for key in tensors}
    lost = [key for key, place in place_of.items() if place is None]
    unused = [key for key in lost if any(unused_reason(e, "") for e in endings(key))]
    placed = {place: tensors[key] for key, place in place_of.items() if place is not None}
    replaced = sum(k in base and not torch.equal(base[k], v.to(base[k].dtype)) for k, v in placed.items())
    with quiet():
        set_peft_model_state_dict(wrapped, placed)
    state = wrapped.state_dict() | _state(wrapped)
    problems = [f"attached nowhere: {key}" for key in lost if key not in unused]
    problems += [f"missing from the adapter: {key}" for key in wanted if key not in placed]
    problems += [
        f"copied with other values: {k}" for k, v in placed.items() if not torch.equal(state[k], v.to(state[k].dtype))
    ]
    if problems:
        raise EncoderError(
            f"the adapter's tensors do not fit its configuration and base model:{listed(problems)}",
            where=str(folder),
            fix=f"give the base model that the adapter was trained on {GIVE_BASE}",
        )
    return unused, replaced


def _state(wrapped: nn.Module) -> dict[str, Tensor]:
    with quiet():
        state: dict[str, Tensor] = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return state


def _merge(wrapped: nn.Module, folder: Path, replaced: int) -> tuple[int, int]:
    """Merge the adapter layer by layer. Return how many modules changed, and how many modules are adapted.

    Args:
        replaced: how many weights of the base model the adapter has already replaced (`_attach`).
    """
    layers = [module for module in wrapped.modules() if isinstance(module, BaseTunerLayer)]
    saved = [module for module in wrapped.modules() if isinstance(module, ModulesToSaveWrapper)]
    changed = sum(_merge_changes(layer) for layer in layers) + sum(_saved_changes(module) for module in saved)
    if not changed and not replaced:
        raise EncoderError(
            f"the adapter changes no weight: all {len(layers) + len(saved)} adapted modules equal the base model's",
            where=str(folder),
            fix="give the trained adapter, not a freshly initialised one; to measure the base model, give its folder",
        )
    return changed, len(layers) + len(saved)


def _merge_changes(layer: BaseTunerLayer) -> bool:
    base = layer.get_base_layer()
    before = base.weight.detach().clone()
    with quiet():
        layer.merge(safe_merge=True)
    return not torch.equal(before, base.weight)


def _saved_changes(module: ModulesToSaveWrapper) -> bool:
    original = module.original_module.state_dict()
    active = module.modules_to_save[module.active_adapter].state_dict()
    return any(not torch.equal(value, active[name]) for name, value in original.items())
