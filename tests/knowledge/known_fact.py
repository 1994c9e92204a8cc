"""A tiny decoder and a tiny masked model that know exactly one fact: their head is solved for, not trained."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from retroscope.collection.facts.records import Fact, Facts, make_facts
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.knowledge.clozes import relation_clozes
from retroscope.knowledge.states import states_at
from toys import TOYS, save, scatter

SUBJECTS = ("cat", "river", "moon", "star", "book", "mat")
OBJECTS = ("red", "warm", "small", "heavy", "near", "first")
KNOWN = 2  # place of the fact that is known
MEAN = LoadSettings(pooling="mean")


def colour_facts() -> Facts:
    return make_facts(
        Fact(f"f{k}", "is", subject, answer, f"the {subject} is [MASK]", (f"each {subject} was [MASK]",))
        for k, (subject, answer) in enumerate(zip(SUBJECTS, OBJECTS, strict=True))
    )


def random_model(name: str, folder: Path) -> PreTrainedModel:
    """Save a toy with its head, every weight random, and return it."""
    config = TOYS[name].build().config
    config.tie_word_embeddings = False
    config.hidden_size = config.intermediate_size = 64
    if hasattr(config, "head_dim"):
        config.head_dim, config.num_attention_heads, config.num_key_value_heads = 32, 2, 2
    cls = AutoModelForCausalLM if TOYS[name].causal else AutoModelForMaskedLM
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = scatter(cls.from_config(config), 0)
    save(model, folder, TOYS[name].style)
    return model


def knowing_model(name: str, folder: Path) -> Encoder:
    """Save a toy whose head gives one object a high logit at the states of one cloze, and a low one elsewhere.

    With a width of 64 and fewer states than that, such a head always exists.
    """
    model = random_model(name, folder)
    encoder = load_encoder(folder, MEAN)
    facts = colour_facts()
    kind = "causal" if TOYS[name].causal else "masked"
    clozes = relation_clozes(encoder.tokenizer, kind, list(enumerate(facts.facts)), 0)
    assert clozes is not None
    inputs = [one for fact in range(len(facts)) for one in clozes.places(fact)]
    states = states_at(encoder, inputs)[-1].reshape(len(facts), -1, encoder.width)
    with torch.no_grad():
        output = model.get_output_embeddings()
        output.weight.zero_()
        if output.bias is not None:
            output.bias.zero_()
        if name == "bert":
            states = model.cls.predictions.transform(states)
        flat = states.flatten(0, 1)
        for point, token in clozes.steps[KNOWN]:
            if point >= 0:
                wanted = torch.full((len(facts), states.shape[1]), -5.0)
                wanted[KNOWN, point] = 20.0
                output.weight[token] += torch.linalg.lstsq(flat, wanted.flatten()[:, None], driver="gelsd").solution[
                    :, 0
                ]
    save(model, folder, TOYS[name].style)
    return load_encoder(folder, MEAN)
