"""Check the settings of a PEFT adapter before PEFT reads them: its ranks and its regular expressions.

PEFT matches each pattern in the settings with the name of every module. With Python's `re`, matching a bad pattern can
take years.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peft import PeftConfig

from retroscope.encoders.checkpoints.folders import ADAPTER_CONFIG, quiet, read_json
from retroscope.encoders.checkpoints.values import flag, group
from retroscope.encoders.checks.disk import Disk, check_values
from retroscope.errors import EncoderError, excerpt
from retroscope.files.reading import foreign

RANK = re.compile(r"(init_)?r|\w*rank|num_vectors|vector_length|n_frequency|\w*block_(size|num)|\w*butterfly_factor")
PATTERNS = ("target_modules", "exclude_modules", "layers_pattern", "target_parameters", "modules_to_save")
PATTERN_KEYS = ("rank_pattern", "alpha_pattern")  # whose keys are patterns
SWITCHES = ("fan_in_fan_out", "use_rslora", "use_dora", "lora_bias")
FACTOR = ".lora_"  # part of the names of LoRA's tensors; other adapters may store indices
LONGEST_PATTERN = 2000  # characters
MOST_REPEATS = 4  # open repeats, `*` and `+`, in a pattern: each may be tried at every character
REPEATED_GROUP = re.compile(r"(?<!\\)\)\s*[*+{]")
REPEAT = re.compile(r"(?<!\\)[*+]|(?<!\\)\{")
BIG = 512  # a rank that is refused only where the adapter's own tensors are smaller


def read_settings(folder: Path, disk: Disk) -> PeftConfig:
    """Read PEFT's settings of an adapter, after checking that the adapter can be merged into a bare backbone.

    Raises:
        EncoderError: for settings that PEFT cannot read, an adapter that adds inputs to the model, a rank above every
            dimension of the adapter's tensors, a scale or a factor that is not finite, or a pattern that could take
            extremely long to match.
    """
    where = folder / ADAPTER_CONFIG
    raw = read_json(folder, ADAPTER_CONFIG)
    for pattern in _patterns(raw, where):
        _check_pattern(pattern, where)
    _check_ranks(raw, disk, where)
    _check_scales(raw, where)
    check_values((name for name in disk.files if FACTOR in name), disk)
    for key in SWITCHES:
        flag(raw, key, where)
    with foreign(EncoderError, "PEFT cannot read these settings", where), quiet():
        settings = PeftConfig.from_pretrained(str(folder))
        adds_inputs = settings.is_prompt_learning
    if adds_inputs:
        kind = str(settings.peft_type).rpartition(".")[2]
        raise EncoderError(
            f"a {kind} adapter adds inputs to the model and cannot be merged into the weights",
            where=str(folder),
            fix="use an adapter that changes weights (LoRA, DoRA, IA3 ...)",
        )
    settings.task_type = None  # the class that a task stands for wants a head, which a bare backbone has not
    settings.inference_mode = True
    return settings


def _patterns(raw: Mapping[str, Any], where: Path) -> Iterator[str]:
    """Yield every text in the settings that PEFT may use as a regular expression."""
    for key in PATTERNS:
        value = raw.get(key)
        texts = value if isinstance(value, list) else [value]
        yield from (text for text in texts if isinstance(text, str))
    for key in PATTERN_KEYS:
        yield from group(raw, key, where)


def _check_pattern(pattern: str, where: Path) -> None:
    slow = REPEATED_GROUP.search(pattern) or len(REPEAT.findall(pattern)) > MOST_REPEATS
    if len(pattern) > LONGEST_PATTERN or slow:
        raise EncoderError(
            f"the regular expression {excerpt(pattern)} could take extremely long to match",
            where=str(where),
            fix=f"list the names of the modules, or use at most {MOST_REPEATS} repeats (* or +), none after a group",
        )


def _check_ranks(raw: Mapping[str, Any], disk: Disk, where: Path) -> None:
    """Refuse a rank above `BIG` that is larger than every dimension of the adapter's tensors."""
    dimensions = [size for shape in disk.shapes().values() for size in shape]
    most = max([BIG, *dimensions])
    ranks = {key: value for key, value in raw.items() if RANK.fullmatch(key)} | group(raw, "rank_pattern", where)
    for key, value in ranks.items():
        if isinstance(value, int | float) and not value <= most:
            raise EncoderError(
                f"the rank {excerpt(key)} is {excerpt(value)}, more than any dimension of the adapter's tensors",
                where=str(where),
                fix="use the adapter_config.json that was saved with these tensors",
            )


def _check_scales(raw: Mapping[str, Any], where: Path) -> None:
    """Refuse a scale of the change (alpha) that is not a finite number."""
    own = {"lora_alpha": raw["lora_alpha"]} if "lora_alpha" in raw else {}
    for key, value in {**group(raw, "alpha_pattern", where), **own}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise EncoderError(
                f"the alpha {excerpt(key)} must be a finite number, found {excerpt(value)}",
                where=str(where),
                fix="use the adapter_config.json that was saved with these tensors",
            )
