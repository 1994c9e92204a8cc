"""The linear read-out finds what is linear in the states, and is at chance where nothing is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from retroscope.collection.facts.records import Fact
from retroscope.errors import AnalysisError
from retroscope.knowledge.neutral import neutral_places, without_facts
from retroscope.knowledge.readouts import Lesson, fit_readout
from retroscope.knowledge.settings import ReadoutSettings
from toys import CORPUS, tokenizer

SETTINGS = ReadoutSettings(positions=1000, held_out=200, steps=300, batch=128)
WORDS, DIM, ROWS = 20, 16, 1200


def lesson(*, informed: bool) -> tuple[Lesson, torch.Tensor]:
    """States that are a random rotation of the output vectors of their words, or noise; layer 0 is always noise."""
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(WORDS + 5, DIM, generator=generator)
    targets = torch.randint(WORDS, (ROWS,), generator=generator)
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator)).Q
    noise = torch.randn(2, ROWS, DIM, generator=generator)
    if informed:
        noise[1] = 3 * output[targets] @ rotation + 5 + 0.3 * noise[1]
    return Lesson(noise, targets, SETTINGS.held_out), output


def test_what_is_linear_is_read_in_its_layer_only() -> None:
    given, output = lesson(informed=True)
    readout = fit_readout(given, output, torch.arange(WORDS), SETTINGS)
    assert readout.loss[1] < 0.3
    assert readout.loss[0] > np.log(WORDS) - 0.2  # chance
    held = given.states[1, -SETTINGS.held_out :]
    assert (readout.log_probabilities(1, held).argmax(-1) == given.targets[-SETTINGS.held_out :]).float().mean() > 0.9
    assert readout.columns.tolist() == [*range(WORDS), *[-1] * 5]


def test_noise_is_at_chance() -> None:
    given, output = lesson(informed=False)
    assert min(fit_readout(given, output, torch.arange(WORDS), SETTINGS).loss) > np.log(WORDS) - 0.2


def test_the_same_seed_fits_the_same() -> None:
    given, output = lesson(informed=True)
    one, two = (fit_readout(given, output, torch.arange(WORDS), replace(SETTINGS, steps=20)) for _ in range(2))
    assert torch.equal(one.weight, two.weight)


def test_masked_text_predicts_what_was_masked_and_causal_text_the_next_token() -> None:
    tokens = tokenizer("bert")
    inputs, targets, held_out = neutral_places(tokens, "masked", CORPUS * 4, SETTINGS)
    assert held_out >= SETTINGS.held_out
    flat = [one.ids[at] for one in inputs for at in one.at]
    assert set(flat) == {tokens.mask_token_id}
    assert len(flat) == len(targets)
    assert tokens.mask_token_id not in targets.tolist()
    inputs, targets, _ = neutral_places(tokenizer("llama"), "causal", CORPUS * 9, SETTINGS)
    assert [one.ids[at + 1] for one in inputs for at in one.at] == targets.tolist()


def test_held_out_text_is_not_fitted_to() -> None:
    texts = [f"{a} {b}" for a in CORPUS for b in CORPUS]
    inputs, targets, held_out = neutral_places(tokenizer("llama"), "causal", texts, SETTINGS)
    fitted, left, rows = set(), set(), 0
    for one in inputs:
        (fitted if rows < len(targets) - held_out else left).add(tuple(one.ids))
        rows += len(one.at)
    assert fitted
    assert left
    assert not fitted & left


def test_too_little_text_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"it has .* tokens to predict"):
        neutral_places(tokenizer("llama"), "causal", CORPUS[:2], ReadoutSettings(positions=5000))


def test_texts_that_state_a_fact_are_left_out() -> None:
    facts = [Fact("a", "r", "Ada", "London", "Ada: [MASK]"), Fact("b", "r", "Bo", "Rome", "Bo: [MASK]")]
    texts = ["ada lives in LONDON", "Ada lives in Rome", "Bo knows London", "London is large"]
    assert without_facts(texts, facts) == texts[1:]
