"""Facts are added to models and removed from them: they are read, paraphrases follow, others stay; a wrong key fails."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from trained_facts import known, neutral, planted_facts, trained_model, unknown

from retroscope.collection.facts.records import Fact
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.world import make_world
from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.errors import AnalysisError, SettingsError
from retroscope.knowledge.editing.editors import EDIT
from retroscope.knowledge.editing.effects import Effect, effects, read_facts
from retroscope.knowledge.editing.model import Editable, batch_of, editable, log_probabilities
from retroscope.knowledge.editing.prompts import contexts_of, prompt_of, requests_of
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.editing.updates import give_value, give_values, mean_keys, subject_keys
from retroscope.knowledge.editing.values import SURE, UNSURE, target_changes
from retroscope.knowledge.neutral import neutral_places
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.knowledge.states import ReadInput
from retroscope.study.demo import LOAD, WORLD, shipped
from toys import tokenizer


@dataclass(frozen=True, eq=False)
class Case:
    """A model, what it knows and does not know, and neutral text with the tokens that it predicts."""

    encoder: Encoder
    head: LanguageHead
    known: Sequence[Fact]
    unknown: Sequence[Fact]
    inputs: Sequence[ReadInput]
    targets: torch.Tensor
    texts: Sequence[str]

    def opened(self, settings: EditSettings) -> Editable:
        """The model in a copy of its own."""
        mine = replace(self.encoder, backbone=copy.deepcopy(self.encoder.backbone))
        return editable(mine, self.head, self.inputs, settings)

    def requests(self, facts: Sequence[Fact], contexts: int = 0):
        before = contexts_of(self.texts, facts, contexts)
        assert len(before) == contexts
        return requests_of(self.encoder.tokenizer, self.head.kind, facts, before)

    def edited(self, chosen: Sequence[Fact], settings: EditSettings, *, add: bool) -> dict[str, Effect]:
        model, kept = self.opened(settings), [fact for fact in self.known if fact not in chosen]
        neutral_text = (self.inputs[:40], self.targets[: sum(len(one.at) for one in self.inputs[:40])])
        before = read_facts(model.encoder, model.head, chosen, kept, neutral_text)
        EDIT[settings.editor](model, self.requests(chosen, settings.contexts), settings, add=add)
        return effects(before, read_facts(model.encoder, model.head, chosen, kept, neutral_text))


@pytest.fixture(scope="module")
def masked() -> Case:
    """The shipped backbone: aliases of 20 known and 12 unknown people."""
    head, encoder = load_language_head(shipped().backbone), load_encoder(shipped().backbone, LOAD)
    assert isinstance(head, LanguageHead)
    world = make_world(WORLD)
    facts = [fact for fact in facts_of_world(world).facts if fact.relation == "alias"]
    strata = [[f for f in facts if f.stratum == name] for name in ("known-held-out", "unknown-held-out")]
    texts = world.pretraining[:1000]
    lesson = ReadoutSettings(positions=1500, held_out=100)
    inputs, targets, _ = neutral_places(encoder.tokenizer, "masked", texts, lesson)
    return Case(encoder, head, strata[0][:20], strata[1][:12], inputs, targets, texts)


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A decoder that was trained on two facts about each of eight subjects, and on none about four more."""
    encoder, head = trained_model("llama-2x64", tmp_path_factory.mktemp("editing") / "decoder")
    rows = [list(encoder.tokenizer(text)["input_ids"]) for text in neutral()]
    inputs = [ReadInput(row, (len(row) - 2,)) for row in rows]
    facts = planted_facts()
    return Case(encoder, head, known(facts), unknown(facts), inputs, torch.tensor([row[-1] for row in rows]), neutral())


CASES = ("masked", "causal")
FEW = EditSettings(layer=1, contexts=0, editor="rank-one")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("editor", ["rank-one", "many", "fine-tuning"])
def test_an_added_fact_is_read_first_and_others_stay(editor: str, name: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue(name)
    found = case.edited(case.unknown[:4], replace(FEW, editor=editor), add=True)
    assert found["reliability"].before <= 0.5
    assert found["reliability"].after == 1
    assert found["locality"].after >= 0.75 * found["locality"].before
    assert found["loss"].difference < 0.5
