"""Find defects in a checkpoint: skipped modules, and tokens or norms that were never trained.

The thresholds were set on models made for this purpose. `benchmarks/detectors.py` tests them on other models.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from retroscope.encoders.checkpoints.folders import MODULES, read_json, read_json_list
from retroscope.encoders.checkpoints.modules import read_modules
from retroscope.encoders.checks.finding import ERROR, NOTE, PASSED, WARNING, Finding, Origin
from retroscope.encoders.encoder import Encoder
from retroscope.errors import excerpt

POOLING_FILE = "1_Pooling/config.json"
UNTRAINED_TOKEN = 0.02  # distance of an added token's embedding from the mean of all, over that of a usual token
UNTRAINED_NORM = 0.01  # mean distance of a norm's weights from the value that all start with


def check_own_code(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Find a checkpoint that declares its own code, but was loaded as a class of transformers."""
    declared, cls = getattr(encoder.backbone.config, "auto_map", None), type(encoder.backbone)
    if declared and cls.__module__.startswith("transformers."):
        what = f"config.json declares its own class (auto_map {excerpt(declared)}), which is not used"
        fix = "compare a few vectors with those of the declared class, which may change attention or outputs"
        yield Finding(WARNING, "loading", f"{what}; the class used is {cls.__name__} of transformers", fix)


def check_head(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Report parts of a sentence-transformers model that loading ignored: Dense modules, pooling, the parent folder."""
    folder = origin.path
    if not folder.is_dir():
        return
    skipped = _dense_folders(folder)[encoder.recipe.head.count("dense") :]
    if skipped:
        names = ", ".join(module.name for module in skipped)
        fix = f"add the module to {MODULES}, or download that file again"
        yield Finding(ERROR, "head", f"the Dense weights in {names} are not used: no vector passes through them", fix)
    if (folder / POOLING_FILE).is_file() and not (folder / MODULES).is_file():
        fix = f"download {MODULES}, too"
        yield Finding(ERROR, "head", f"{POOLING_FILE} is ignored, because the folder has no {MODULES}", fix)
    above = folder.parent / MODULES
    if above.is_file() and any(str(row.get("path", "")) == folder.name for row in read_json_list(above)):
        fix = f"give {folder.parent}"
        what = "this folder is one module of the model in the parent folder; its pooling, head and prompts are not used"
        yield Finding(ERROR, "head", what, fix)


def check_similarity(path: Path, used: str) -> Iterator[Finding]:
    """Check that the similarity `used` is the one that the sentence-transformers folder at `path` records."""
    if not (path / MODULES).is_file():
        return
    recorded = read_modules(path, "passage").choices["similarity"]
    if recorded.recorded and recorded.value != used:
        what = f"vectors are compared by {used}, as you chose, but the checkpoint records {recorded.value}"
        yield Finding(WARNING, "similarity", f"{what} ({recorded.source})", "leave out --similarity")


def check_chosen_pooling(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Report a pooling that the user chose although the sentence-transformers folder records another one."""
    used, source = encoder.recipe.pooling, encoder.recipe.sources["pooling"]
    if source != "user" or not (origin.path / MODULES).is_file():
        return
    recorded = read_modules(origin.path, origin.towers[0]).choices["pooling"]
    if recorded.value != used:
        what = f"texts are pooled by {used}, as you chose, but the checkpoint records {recorded.value}"
        yield Finding(WARNING, "pooling", f"{what} ({recorded.source})", "leave out --pooling")


def _dense_folders(folder: Path) -> list[Path]:
    places = sorted(config.parent for config in folder.glob("*/config.json"))
    return [place for place in places if {"in_features", "out_features"} <= read_json(place, "config.json").keys()]


def check_mean_of_decoder(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Report mean pooling of a decoder, if the user chose it and the checkpoint does not record it."""
    if encoder.anatomy.causal and encoder.recipe.pooling == "mean" and encoder.recipe.sources["pooling"] == "user":
        what = "you chose mean pooling for a decoder, most of whose tokens see only a part of the text"
        yield Finding(NOTE, "pooling", what, "if it was trained with last-token pooling, give --pooling last_token")


def check_new_tokens(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check whether the embeddings of added tokens were trained.

    Libraries initialise new tokens at, or very near, the mean of all embeddings. Trained new tokens are as far from the
    mean as other tokens.
    """
    table: Tensor = encoder.backbone.get_input_embeddings().weight.detach().float()
    special = {*encoder.tokenizer.all_special_ids}
    new = [number for number in encoder.tokenizer.added_tokens_decoder if number not in special and number < len(table)]
    if not new:
        return
    gaps = (table - table.mean(dim=0)).norm(dim=1)
    usual = float(gaps.median())
    untrained = [number for number in new if float(gaps[number]) < UNTRAINED_TOKEN * usual]
    words = ", ".join(repr(encoder.tokenizer.convert_ids_to_tokens(number)) for number in untrained[:5])
    if untrained:
        what = f"{len(untrained)} added tokens have embeddings at the mean embedding, like untrained tokens: {words}"
        yield Finding(WARNING, "new tokens", what, "train their embeddings, or use the tokenizer without these tokens")
    else:
        yield Finding(PASSED, "new tokens", f"the embeddings of {len(new)} added tokens differ from the mean embedding")


def check_training(encoder: Encoder, origin: Origin) -> Iterator[Finding]:
    """Check whether the weights of the norms differ from their initial value: 1, or 0 in norms that add 1 to them."""
    weights = [value for name, value in encoder.backbone.named_parameters() if _is_norm(encoder, name)]
    if not weights:
        return
    moved = min(_distance(weights, start) for start in (1.0, 0.0))
    evidence = f"the weights of the norms differ from their initial values by {moved:.2g} on average"
    if moved < UNTRAINED_NORM:
        fix = "train the backbone longer, or use another one"
        what = f"{evidence}, less than {UNTRAINED_NORM:g}: the backbone is hardly trained"
        yield Finding(WARNING, "training", what, fix)
    else:
        yield Finding(PASSED, "training", evidence)


def _is_norm(encoder: Encoder, name: str) -> bool:
    part = encoder.anatomy.part_of(name)[1]
    return part in ("norm", "final_norm") and name.endswith("weight")


def _distance(weights: list[Float[Tensor, "dim"]], start: float) -> float:
    return float(torch.cat([weight.detach().float().flatten() for weight in weights]).sub(start).abs().mean())
