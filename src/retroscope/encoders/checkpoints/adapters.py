"""Load PEFT adapters: find the base, attach and merge in float32, and prove that weights changed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from transformers import PreTrainedModel

from retroscope.encoders.checkpoints.adapter_settings import CONFIG, read_settings
from retroscope.encoders.checkpoints.backbones import Backbone, How, loader_for
from retroscope.encoders.checkpoints.folders import locate, quiet, read_json
from retroscope.encoders.checkpoints.tokenizers import has_tokenizer
from retroscope.encoders.checkpoints.values import text
from retroscope.encoders.weights import Disk, open_disk, unused_reason
from retroscope.errors import EncoderError, listed
from retroscope.files.reading import foreign

LONGEST_CHAIN = 8  # adapters over adapters
KEPT_BASE = "backbone"  # a copy of the base that is kept beside an adapter is its base wherever they are moved
GIVE_BASE = "(e.g. --set after.load.base=NAME, or `retroscope diff --base NAME`; in Python base='NAME')"
CHECK_BASE = f"correct base_model_name_or_path in adapter_config.json, or give the right base model {GIVE_BASE}"
PEFT_PREFIX = "base_model.model."


def load_backbone(path: Path, how: How, base: str | None = None) -> Backbone:
    """Load the backbone of a folder or GGUF file; an adapter is merged into its base."""
    if path.is_dir() and (path / CONFIG).is_file():
        return load_adapter(path, how, base)
    if base is not None:
        raise EncoderError(
            f"the base model {base!r} was given, but this checkpoint is not an adapter",
            where=str(path),
            fix=f"leave out the base, or give the folder of an adapter, which has an {CONFIG}",
        )
    return loader_for(path)(path, how)


def load_adapter(folder: Path, how: How, base: str | None) -> Backbone:
    """Merge an adapter into its base (which may be an adapter, too) in float32, then cast.

    Merging in bfloat16 moves vectors by up to 0.03 a coordinate, which is more than some effects that are measured.
    """
    disk = open_disk(folder, stem="adapter_model")
    settings = read_settings(folder, disk)
    under = load_backbone(locate_base(folder, base), replace(how, dtype=torch.float32))
    tensors = _adapter_tensors(disk)
    plain = {name: tensors[key] for key, name in _plain_names(tensors, under.model).items()}
    misfit = f"the adapter does not fit {type(under.model).__name__}"
    with foreign(EncoderError, misfit, folder, CHECK_BASE), quiet():
        _copy_plain(under.model, plain)
        wrapped = get_peft_model(under.model, settings)
        unused = _attach(wrapped, tensors, set(_plain_names(tensors, under.model)), folder)
        changed, total = _merge(wrapped, folder)
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
    """Find the base of an adapter: the one given, else the copy beside it, else the one its settings name."""
    raw = read_json(folder, CONFIG)
    source = given or text(raw, "base_model_name_or_path", folder / CONFIG)
    if not source:
        raise EncoderError(
            f"{CONFIG} names no base model (base_model_name_or_path)",
            where=str(folder),
            fix=f"give the base model, a folder or a hub name {GIVE_BASE}",
        )
    kept = folder / KEPT_BASE
    if given is None and Path(source).name == KEPT_BASE and (kept / "config.json").is_file():
        return kept
    if (folder / source).is_dir():
        return folder / source
    try:
        return locate(source, text(raw, "revision", folder / CONFIG) if given is None else None)
    except EncoderError as error:
        raise EncoderError(
            f"the base model {source!r} of this adapter cannot be loaded: {error.what}",
            where=str(folder),
            fix=f"give the base model, a folder or a hub name {GIVE_BASE}",
        ) from error


def check_chain(path: Path, base: str | None = None) -> None:
    """Refuse adapters that name themselves, or one another, as their base.

    Raises:
        EncoderError: that lists them.
    """
    seen: list[Path] = []
    while path.is_dir() and (path / CONFIG).is_file():
        if path.resolve() in seen or len(seen) == LONGEST_CHAIN:
            chain = listed([str(one) for one in (*seen, path)])
            raise EncoderError(
                f"no base model was found, since each of these adapters names the next as its base:{chain}",
                where=str(seen[0]),
                fix=CHECK_BASE,
            )
        seen.append(path.resolve())
        path, base = locate_base(path, base), None


def _adapter_tensors(disk: Disk) -> dict[str, Tensor]:
    return {name: disk.tensor(name) for name in disk.files}


def endings(key: str) -> list[str]:
    """Return the names under which a bare backbone may know a tensor: `model.layers.0...` is its `layers.0...`."""
    parts = key.removeprefix(PEFT_PREFIX).split(".")
    return [".".join(parts[cut:]) for cut in range(min(3, len(parts)))]


def _plain_names(tensors: Mapping[str, Tensor], model: PreTrainedModel) -> dict[str, str]:
    """Map adapter keys to the parameters of the backbone that they replace as a whole (e.g. a grown embedding)."""
    own = set(model.state_dict())
    parameter_of = {key: next((e for e in endings(key) if e in own), None) for key in tensors}
    return {key: name for key, name in parameter_of.items() if name is not None}


@torch.no_grad()
def _copy_plain(model: PreTrainedModel, plain: Mapping[str, Tensor]) -> None:
    for name, tensor in plain.items():
        module, _, leaf = name.rpartition(".")
        owner = model.get_submodule(module)
        if owner is model.get_input_embeddings() and len(owner.weight) != len(tensor):
            model.resize_token_embeddings(len(tensor), mean_resizing=False)
            owner = model.get_input_embeddings()
        owner.get_parameter(leaf).copy_(tensor)


def _attach(wrapped: nn.Module, tensors: Mapping[str, Tensor], plain: set[str], folder: Path) -> list[str]:
    """Copy every adapter tensor to its place and verify it; return the keys of heads that a backbone lacks."""
    places = {key.removeprefix(PEFT_PREFIX): key for key in _state(wrapped)}
    place_of = {
        key: next((places[e] for e in endings(key) if e in places), None) for key in tensors if key not in plain
    }
    lost = [key for key, place in place_of.items() if place is None]
    unused = [key for key in lost if any(unused_reason(e, "") for e in endings(key))]
    placed = {place: tensors[key] for key, place in place_of.items() if place is not None}
    with quiet():
        set_peft_model_state_dict(wrapped, placed)
    state = _state(wrapped)
    problems = [f"attached nowhere: {key}" for key in lost if key not in unused]
    problems += [f"without a value: {key}" for key in state if key not in placed]
    problems += [
        f"altered: {k}" for k, v in placed.items() if k in state and not torch.equal(state[k], v.to(state[k].dtype))
    ]
    if problems:
        raise EncoderError(
            f"the adapter's tensors do not fit its configuration and base model:{listed(problems)}",
            where=str(folder),
            fix=f"give the base model that the adapter was trained on {GIVE_BASE}",
        )
    return unused


def _state(wrapped: nn.Module) -> dict[str, Tensor]:
    with quiet():
        state: dict[str, Tensor] = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return state


def _merge(wrapped: nn.Module, folder: Path) -> tuple[int, int]:
    """Merge the adapter layer by layer; return how many adapted modules changed, and how many there are."""
    layers = [module for module in wrapped.modules() if isinstance(module, BaseTunerLayer)]
    saved = [module for module in wrapped.modules() if isinstance(module, ModulesToSaveWrapper)]
    changed = sum(_merge_changes(layer) for layer in layers) + sum(_saved_changes(module) for module in saved)
    if not changed:
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
