"""The doctor: faults planted in tiny checkpoints, and sound checkpoints of many families.

The checkpoints are those of the tests, of random weights. A fault is found if its check says so at its severity; of a
sound checkpoint, a finding of that check and severity is false.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from proof.proof import Proof, rate, short
from retroscope.encoders import pooling
from retroscope.encoders.checks.findings import ERROR, WARNING
from retroscope.encoders.checks.unrelated import RISE, UNRELATED
from retroscope.encoders.settings import LoadSettings
from retroscope.inputs import unrelated_texts as check_of_pair
from retroscope.inputs.settings import ModelSettings
from retroscope.study.doctor.diagnosis import Diagnosis, diagnose
from toy_adapters import adapter
from toys import save_toy

MEAN, CLS = LoadSettings(pooling="mean"), LoadSettings(pooling="cls")
LAST = LoadSettings(pooling="last_token")
ENDED = LoadSettings(pooling="last_token", append_eos=True, padding_side="left")
SOUND = {"bert": MEAN, "roberta": MEAN, "distilbert": CLS, "llama": ENDED, "qwen2": MEAN, "gpt2": MEAN, "t5": MEAN}
DECODERS = ("qwen2", "gpt2")  # with a pooling that is not theirs, so that it is looked at
DIM = 24  # of made-up vectors; their cosines spread by .2, as widely as those of the models that were looked at
COMMON, DRAWN = 0.05, 0.45  # mean cosine of unrelated texts


def proofs(studies: int) -> list[Proof]:
    """Return a row for each planted fault, and one of unrelated texts that moved together."""
    torch.set_num_threads(1)
    sound = [sound_pair(seed) for seed in range(studies)]
    repeats = max(1, studies // 20)
    found = [[in_folder(fault.planted, seed) for seed in range(repeats)] for fault in FAULTS]
    decoders = [sound_decoder(seed) for seed in range(studies - studies * len(DECODERS) // len(SOUND))]
    rows = [of_fault(fault, [*sound, *decoders], faulty) for fault, faulty in zip(FAULTS, found, strict=True)]
    return [anything(sound, [one for faulty in found for one in faulty]), *rows, drawn_together(studies)]


@dataclass(frozen=True)
class Fault:
    """A fault, how it is planted, and the check that must find it at a severity."""

    name: str
    checks: tuple[str, ...]
    severity: str
    planted: Callable[[Path, int], Diagnosis]

    def found(self, diagnosis: Diagnosis) -> bool:
        """Return whether the doctor says so."""
        return any(f.severity == self.severity and f.check in self.checks for _, f in diagnosis.findings)


def anything(sound: Sequence[Diagnosis], faulty: Sequence[Diagnosis]) -> Proof:
    """Return the row of all checks together; those of similarities are true of random weights, and have their own."""

    def alarmed(found: Diagnosis) -> bool:
        return any(f.severity in (ERROR, WARNING) and f.check != "similarities" for _, f in found.findings)

    false, found = rate(map(alarmed, sound)), rate(map(alarmed, faulty))
    return Proof(
        instrument="Doctor: any check except similarities reports an error or a warning",
        control=f"Intact pairs of {len(SOUND)} model families",
        reads=f"A finding is reported for {short(false.value)} of the intact pairs and for {short(found.value)} of "
        "the faulty checkpoints",
        failed=false.value < 0.05 < found.value,
        false=false,
        power=found,
        planted=f"{len(FAULTS)} kinds of faults, in checkpoints of random weights",
        coverage=None,
        held_against="SentenceTransformer.encode, for folders of sentence-transformers (tests/study/test_doctor.py)",
    )


def of_fault(fault: Fault, sound: Sequence[Diagnosis], faulty: Sequence[Diagnosis]) -> Proof:
    """Return the row of one fault."""
    found = rate(map(fault.found, faulty))
    asked = [one for one in sound if any(f.check in fault.checks for _, f in one.findings)]
    false = rate(map(fault.found, asked)) if asked else None
    of_sound = (
        f"The finding is reported for {short(false.value)} of the intact models and"
        if false
        else "No intact model has the checked part; the finding is reported"
    )
    return Proof(
        instrument=f"Doctor: {fault.severity} on {fault.name}",
        control=f"Intact models of {len(SOUND)} families that have the checked part",
        reads=f"{of_sound} for {short(found.value)} of the faulty checkpoints",
        failed=(false is None or false.value < 0.05) and found.value > 0.5,
        false=false,
        power=found,
        planted="the fault, in checkpoints of random weights",
        coverage=None,
        held_against="the same fault, planted by hand (tests/study/test_doctor.py)",
    )


def drawn_together(studies: int) -> Proof:
    """Return the row of the mean cosine of unrelated sentences, before and after; any rise at all is its control."""
    null = [rise(seed, COMMON) for seed in range(studies)]
    planted = [rise(seed, DRAWN) for seed in range(studies, 2 * studies)]
    any_rise = float(np.mean([after > before for _, before, after in null]))
    return Proof(
        instrument="Doctor: warning, texts on unrelated topics became more similar (the mean cosine rose by more "
        f"than {RISE:g})",
        control="Any rise of the mean cosine",
        reads=f"The mean cosine rises in {short(any_rise)} of the pairs with equal distributions",
        failed=any_rise > 0.2,
        false=rate(warned for warned, _, _ in null),
        power=rate(warned for warned, _, _ in planted),
        planted=f"mean cosine from {short(COMMON)} to {short(DRAWN)}, {len(UNRELATED)} sentences",
        coverage=None,
        held_against="heads that add one vector to every text (tests/study/test_doctor_similarities.py)",
    )


def rise(seed: int, after: float) -> tuple[bool, float, float]:
    """Return whether the check warns, and the mean cosines; each model sees the sentences through its own noise."""
    random = np.random.default_rng(seed)
    cosines = [drawn(random, COMMON), drawn(random, after)]
    loaded = any_pair().models
    with patch.object(check_of_pair, "unrelated_cosines", side_effect=cosines):
        (finding,) = check_of_pair.unrelated_texts(loaded["before"], loaded["after"])
    return finding.severity == WARNING, *(float(one.mean()) for one in cosines)


@cache
def any_pair() -> Diagnosis:
    """Return a pair of loaded models, of which only the recipes are read."""
    return sound_pair(0)


def drawn(random: np.random.Generator, common: float) -> torch.Tensor:
    """Return the cosines of all pairs of made-up vectors that have a part in common."""
    part, own = random.standard_normal(DIM), random.standard_normal((len(UNRELATED), DIM))
    part *= np.sqrt(DIM) / np.linalg.norm(part)
    vectors = np.sqrt(common) * part + np.sqrt(1 - common) * own
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.from_numpy((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)])


def in_folder(planted: Callable[[Path, int], Diagnosis], seed: int) -> Diagnosis:
    """Return the diagnosis of what is written into a folder that is gone afterwards."""
    with TemporaryDirectory() as folder:
        return planted(Path(folder), seed)


def sound_pair(seed: int) -> Diagnosis:
    """Return the diagnosis of two models of one family and one recipe, without any fault."""
    family = list(SOUND)[seed % len(SOUND)]

    def planted(folder: Path, at: int) -> Diagnosis:
        before, after = (save_toy(family, folder / role, 2 * at + k) for k, role in enumerate(("before", "after")))
        return both(before, after, SOUND[family])

    return in_folder(planted, seed)


def sound_decoder(seed: int) -> Diagnosis:
    """Return the diagnosis of a model of a family whose pooling is looked at, without any fault."""
    family = DECODERS[seed % len(DECODERS)]
    return in_folder(lambda folder, at: alone(save_toy(family, folder, at), SOUND[family]), seed)


def alone(folder: Path, load: LoadSettings = MEAN) -> Diagnosis:
    """Return the diagnosis of one model."""
    return diagnose({"model": ModelSettings(source=str(folder), load=load)})


def both(before: Path, after: Path, load: LoadSettings = MEAN, load_after: LoadSettings | None = None) -> Diagnosis:
    """Return the diagnosis of a pair."""
    loads = {"before": load, "after": load_after or load}
    folders = {"before": before, "after": after}
    return diagnose({role: ModelSettings(source=str(folders[role]), load=loads[role]) for role in loads})


def rewritten(folder: Path, change: Callable[[dict], dict], name: str = "model") -> Path:
    """Return the folder, its tensors changed."""
    file = folder / f"{name}.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})
    return folder


def another_class(folder: Path, seed: int) -> Diagnosis:
    save_toy("dpr-context", folder, seed)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "architectures": ["DPRQuestionEncoder"]}))
    return alone(folder, LoadSettings())


def adapter_renamed(folder: Path, seed: int) -> Diagnosis:
    checkpoint = adapter("llama", folder, [("q_proj", "v_proj", "o_proj", "up_proj")[seed % 4]])
    names = {"self_attn": "attention", "mlp": "ffn"}
    return alone(rewritten(checkpoint, lambda t: {renamed(k, names): v for k, v in t.items()}, "adapter_model"))


def renamed(key: str, names: dict[str, str]) -> str:
    """Return the name of a tensor as another library would write it."""
    for old, new in names.items():
        key = key.replace(old, new)
    return key


def adapter_idle(folder: Path, seed: int) -> Diagnosis:
    checkpoint = adapter("llama", folder, [("q_proj", "v_proj", "o_proj", "up_proj")[seed % 4]])
    return alone(
        rewritten(checkpoint, lambda t: {k: v * (1e-6 if "lora_B" in k else 1) for k, v in t.items()}, "adapter_model")
    )


def not_finite(folder: Path, seed: int) -> Diagnosis:
    save_toy("llama", folder, seed)
    name, value = (("norm.weight", float("inf")), ("layers.1.mlp.up_proj.weight", float("nan")))[seed % 2]
    return alone(rewritten(folder, lambda t: t | {name: t[name] * value}))


def mean_over_padding(folder: Path, seed: int) -> Diagnosis:
    with patch.dict(pooling.POOLINGS, {"mean": lambda hidden, mask: hidden.mean(dim=1)}):
        return alone(save_toy("bert", folder, seed))


def cls_of_a_decoder(folder: Path, seed: int) -> Diagnosis:
    return alone(save_toy(("llama", "qwen2", "gpt2")[seed % 3], folder, seed), CLS)


def without_eos(folder: Path, seed: int) -> Diagnosis:
    return alone(save_toy(("llama", "mistral", "gpt2")[seed % 3], folder, seed), LAST)


def pooling_unknown(folder: Path, seed: int) -> Diagnosis:
    return alone(save_toy(("bert", "llama", "t5")[seed % 3], folder, seed), LoadSettings())


def untrained_pooler(folder: Path, seed: int) -> Diagnosis:
    save_toy("bert", folder, seed)
    zeroed = rewritten(folder, lambda t: t | {"pooler.dense.bias": torch.zeros_like(t["pooler.dense.bias"])})
    return alone(zeroed, LoadSettings(pooling="pooler"))


def prompt_left_out(folder: Path, seed: int) -> Diagnosis:
    save_toy("bert", folder, seed)
    said = ('Start a text with "query: " or "passage: ".', "Prefix: `search_query: `", "Use 'Instruct: ' and a task.")
    (folder / "README.md").write_text(f"# A retriever\n\n{said[seed % 3]}\n")
    return alone(folder)


def same_model(folder: Path, seed: int) -> Diagnosis:
    toy_folder = save_toy(("bert", "llama", "t5")[seed % 3], folder, seed)
    return both(toy_folder, toy_folder)


def another_family(folder: Path, seed: int) -> Diagnosis:
    names = ("roberta", "llama", "distilbert")
    return both(save_toy("bert", folder / "a", seed), save_toy(names[seed % 3], folder / "b", seed))


def tokens_exchanged(folder: Path, seed: int) -> Diagnosis:
    before, after = (save_toy("bert", folder / role, seed + k) for k, role in enumerate(("a", "b")))
    content = json.loads((after / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    one, two = np.random.default_rng(seed).choice(list(words)[5:], 2, replace=False).tolist()
    words[one], words[two] = words[two], words[one]
    (after / "tokenizer.json").write_text(json.dumps(content))
    return both(before, after)


def recipes_differ(folder: Path, seed: int) -> Diagnosis:
    before, after = (save_toy("bert", folder / role, seed + k) for k, role in enumerate(("a", "b")))
    others = (CLS, LoadSettings(pooling="mean", max_length=16), LoadSettings(pooling="mean", query_prompt="query: "))
    return both(before, after, MEAN, others[seed % 3])


of_model = partial(Fault, severity=ERROR)
doubtful = partial(Fault, severity=WARNING)
FAULTS = (
    of_model("weights under another class", ("loading",), planted=another_class),
    of_model("an adapter under other names", ("loading",), planted=adapter_renamed),
    of_model("an adapter that does no more than rounding", ("adapter",), planted=adapter_idle),
    of_model("weights that are not finite", ("numbers", "loading"), planted=not_finite),
    of_model("pooling that reads padding", ("batch", "padding_left", "padding_right"), planted=mean_over_padding),
    of_model("cls pooling of a decoder", ("pooling",), planted=cls_of_a_decoder),
    of_model("a pooling that is not recorded", ("pooling",), planted=pooling_unknown),
    doubtful("last-token pooling without EOS", ("last token",), planted=without_eos),
    doubtful("a tanh pooler that was never trained", ("pooling",), planted=untrained_pooler),
    doubtful("a prompt of the card that is not used", ("prompts",), planted=prompt_left_out),
    of_model("one model given twice", ("weights",), planted=same_model),
    of_model("two architectures", ("architecture",), planted=another_family),
    of_model("token numbers that were exchanged", ("tokenizers",), planted=tokens_exchanged),
    doubtful("recipes that differ", ("recipes",), planted=recipes_differ),
)
