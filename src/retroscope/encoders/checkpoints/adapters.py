"""Load PEFT adapters: find the base, attach and merge in float32, and verify that weights changed."""

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
from retroscope.encoders.checks.weights import ADAPTER, Disk, open_disk, unused_reason
from retroscope.errors import EncoderError, listed
from retroscope.files.reading import foreign

LONGEST_CHAIN = 8  # adapters over adapters
GIVE_BASE = "(e.g. --set after.load.base=NAME, or `retroscope diff --base NAME`; in Python base='NAME')"
CHECK_BASE = f"correct base_model_name_or_path in adapter_config.json, or give the right base model {GIVE_BASE}"
PEFT_PREFIX = "base_model.model."
SAVED = ".modules_to_save."  # of a module that is trained whole


def load_backbone(path: Path, how: How, base: str | None = None, tower: str = "passage") -> Backbone:
    """Load the backbone of a folder or GGUF file. An adapter is merged into its base.

    Args:
        tower: whose transformer an adapter changes, if its base has one for each tower.
    """
    if path.is_dir() and (path / ADAPTER_CONFIG).is_file():
        return load_adapter(path, how, base, tower)
    if base is not None:
        raise EncoderError(
            f"the base model {base!r} was given, but this checkpoint is not an adapter",
            where=str(path),
            fix=f"leave out the base, or give the folder of an adapter, which has an {ADAPTER_CONFIG}",
        )
    return loader_for(path)(path, how)


def load_adapter(folder: Path, how: How, base: str | None, tower: str = "passage") -> Backbone:
    """Merge an adapter into its base (which may be an adapter, too) in float32, then cast.

    Merging in bfloat16 changes vectors by up to 0.03 per coordinate, which is more than some measured effects.
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
    """Find the base of an adapter: the given one, else the copy beside the adapter, else the one in its settings."""
    raw = read_json(folder, ADAPTER_CONFIG)
    source = given or text(raw, "base_model_name_or_path", folder / ADAPTER_CONFIG)
    if not source:
        raise EncoderError(
            f"{ADAPTER_CONFIG} names no base model (base_model_name_or_path)",
            where=str(folder),
            fix=f"give the base model, a folder or a hub name {GIVE_BASE}",
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
            fix=f"give the base model, a folder or a hub name {GIVE_BASE}",
        ) from error


def base_weights(folder: Path, given: str | None, tower: str = "passage") -> Path:
    """Find the weights of an adapter's base: in a sentence-transformers folder, those of its transformer."""
    path = locate_base(folder, given)
    return read_modules(path, tower).transformer if (path / MODULES).is_file() else path


def records_base(folder: Path, given: str | None) -> bool:
    """Return whether other libraries find the same base, namely by the settings of the adapter alone.

    True for a folder that is no adapter.
    """
    recorded = text(read_json(folder, ADAPTER_CONFIG), "base_model_name_or_path", folder / ADAPTER_CONFIG)
    if recorded is None:
        return given is None
    source = given or recorded
    used = base_beside(folder, source, given=given is not None) or Path(source)
    return used.resolve() == Path(recorded).resolve()


def check_chain(path: Path, base: str | None = None) -> None:
    """Refuse adapters that name themselves, or each other, as their base.

    Raises:
        EncoderError: with the chain of adapters.
    """
    seen: list[Path] = []
    while path.is_dir() and (path / ADAPTER_CONFIG).is_file():
        if path.resolve() in seen or len(seen) == LONGEST_CHAIN:
            chain = listed([str(one) for one in (*seen, path)])
            raise EncoderError(
                f"no base model was found, since each of these adapters names the next as its base:{chain}",
                where=str(seen[0]),
                fix=CHECK_BASE,
            )
        seen.append(path.resolve())
        path, base = base_weights(path, base), None


def _adapter_tensors(disk: Disk, folder: Path) -> dict[str, Tensor]:
    """Return the adapter's tensors by name.

    Where a tokenizer grew, PEFT saves a trained embedding twice: as X.weight and as X.modules_to_save.weight.
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
    """Return the possible names of a tensor in a bare backbone: `model.layers.0...` may be `layers.0...`."""
    parts = key.removeprefix(PEFT_PREFIX).split(".")
    return [".".join(parts[cut:]) for cut in range(min(3, len(parts)))]


def _in_base(name: str) -> str:
    """Return the name of a tensor in the base. PEFT calls the weights of a wrapped module `base_layer`."""
    return name.replace(".base_layer.", ".")


def _grow_embedding(model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
    """Resize the embedding to the number of rows in the adapter, if the adapter has an embedding."""
    table = model.get_input_embeddings().weight
    names = {name for name, one in model.named_parameters(remove_duplicate=False) if one is table}
    own = next((tensors[key] for key in tensors if names.intersection(endings(_in_base(key)))), None)
    if own is not None and len(own) != len(table):
        model.resize_token_embeddings(len(own), mean_resizing=False)


def _attach(wrapped: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> tuple[list[str], int]:
    """Copy every tensor of the adapter to its place, and verify it.

    Besides the adapter's own, these may be whole weights of the base: biases that were trained, a grown embedding.

    Returns:
        The keys of heads that a backbone lacks, and the number of whole weights that changed.
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
    problems += [f"without a value: {key}" for key in wanted if key not in placed]
    problems += [f"altered: {k}" for k, v in placed.items() if not torch.equal(state[k], v.to(state[k].dtype))]
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
    """Merge the adapter layer by layer, and return the numbers of changed and of all adapted modules.

    Args:
        replaced: number of whole weights that the adapter already changed.
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
