"""Added facts are read, removed ones are not, paraphrases follow, other facts stay; a wrong key fails."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from tokenizers import Tokenizer, models
from trained_facts import known, neutral, planted_facts, trained_model, unknown
from transformers import PreTrainedTokenizerFast

from retroscope.collection.facts.records import Fact
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.world import make_world
from retroscope.encoders.capture import capture_calls, rewrite_inputs, rewrite_outputs
from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.errors import AnalysisError, SettingsError
from retroscope.knowledge.editing.editors import EDIT
from retroscope.knowledge.editing.effects import Effect, effects, read_facts
from retroscope.knowledge.editing.model import (
    SITE,
    Editable,
    PromptBatch,
    batch_of,
    editable,
    ffn_outputs,
    log_probabilities,
    matrix_of,
)
from retroscope.knowledge.editing.neurons import NODES, erase_neurons, knowledge_neurons, neuron_attributions
from retroscope.knowledge.editing.prompts import contexts_of, prompt_of, requests_of
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.editing.updates import give_value, give_values, mean_keys, subject_keys
from retroscope.knowledge.editing.values import adding, target_changes
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
    encoder, head = trained_model("llama-3x64", tmp_path_factory.mktemp("editing") / "decoder")
    rows = [list(encoder.tokenizer(text)["input_ids"]) for text in neutral()]
    inputs = [ReadInput(row, (len(row) - 2,)) for row in rows]
    facts = planted_facts()
    return Case(encoder, head, known(facts), unknown(facts), inputs, torch.tensor([row[-1] for row in rows]), neutral())


FEW = EditSettings(layer=1, contexts=0, tokens=6000)
EDITED = {"masked": slice(0, 4), "causal": slice(4, 6)}  # of the unknown facts
KEPT = {"rank-one": 0.8, "many": 0.8, "fine-tuning": 0.4}  # of the other facts, at least; the baseline keeps few


@pytest.fixture(params=["masked", "causal"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.getfixturevalue(request.param)


def chosen_of(case: Case) -> Sequence[Fact]:
    return case.unknown[EDITED[case.head.kind]]


@pytest.mark.parametrize("editor", ["rank-one", "many", "fine-tuning"])
def test_an_added_fact_is_read_first_and_others_stay(editor: str, case: Case) -> None:
    found = case.edited(chosen_of(case), replace(FEW, editor=editor), add=True)
    assert found["reliability"].before == 0
    assert found["reliability"].after == 1
    assert found["locality"].before == 1
    assert found["locality"].after >= KEPT[editor]
    assert found["same answer"].after >= KEPT[editor]
    assert found["loss"].difference < 0.1


@pytest.mark.parametrize("editor", ["rank-one", "many", "fine-tuning"])
def test_a_removed_fact_is_no_longer_read_first_and_others_stay(editor: str, case: Case) -> None:
    chosen = case.known[:4] if case.head.kind == "masked" else case.known[:1]
    found = case.edited(chosen, replace(FEW, editor=editor), add=False)
    assert found["reliability"].before == 1
    assert found["reliability"].after == 0
    assert found["locality"].after >= KEPT[editor] - 0.1
    assert found["loss"].difference < 0.3


def test_other_wordings_follow_an_update_of_the_key_and_not_fine_tuning(masked: Case) -> None:
    general = {editor: masked.edited(masked.unknown[:4], replace(FEW, editor=editor), add=True)["generality"].after
               for editor in ("many", "fine-tuning")}  # fmt: skip
    assert general["many"] >= 0.75
    assert general["fine-tuning"] <= 0.5


def test_a_random_key_leaves_the_fact_unread(case: Case) -> None:
    """The control that must fail: the right value, given to a key that no subject has."""
    requests = case.requests(chosen_of(case)[:1])
    prompt = batch_of(case.encoder, requests[0].prompts)
    log_p = {}
    for name in ("its own", "random"):
        model = case.opened(FEW)
        change = target_changes(model, requests, FEW, add=True)[0]
        key = mean_keys(model, requests)[0]
        draw = torch.randn(len(key), generator=torch.Generator().manual_seed(0))
        give_value(model, key if name == "its own" else draw * key.norm() / draw.norm(), change)
        with torch.no_grad():
            log_p[name] = float(log_probabilities(model.encoder, model.head, prompt)[0].exp())
    with torch.no_grad():
        before = float(log_probabilities(case.encoder, case.head, prompt)[0].exp())
    assert log_p["its own"] > 0.9
    assert log_p["random"] < before + 0.3


def test_the_update_of_rank_one_is_the_published_one(masked: Case) -> None:
    model, requests = masked.opened(FEW), masked.requests(masked.unknown[:1])
    first, key = model.matrix.clone(), mean_keys(model, requests)[0]
    change = torch.linspace(-1, 1, len(first))
    give_value(model, key, change)
    update = model.matrix - first
    inverse = torch.linalg.inv(model.covariance.double())
    by_hand = torch.outer(change.double(), inverse @ key.double()) / (key.double() @ inverse @ key.double())
    torch.testing.assert_close(update.double(), by_hand, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(update @ key, change, rtol=1e-3, atol=1e-3)


def test_many_keys_get_their_values_as_far_as_the_ridge_lets_them(masked: Case) -> None:
    requests = masked.requests(masked.unknown[:3])
    reached = {}
    for ridge in (1e-6, 1e6):
        model = masked.opened(FEW)
        keys = torch.cat([subject_keys(model, one.prompts) for one in requests])
        changes = torch.eye(3, len(model.matrix))
        first = model.matrix.clone()
        give_values(model, keys, changes, ridge)
        reached[ridge] = (keys @ (model.matrix - first).T - changes).abs().max()
    assert reached[1e-6] < 0.01
    assert reached[1e6] > 0.9


def test_many_keys_are_solved_exactly_however_small_the_ridge(masked: Case) -> None:
    model = masked.opened(FEW)
    width = len(model.covariance)
    keys = torch.randn(40, width, generator=torch.Generator().manual_seed(0))
    changes = torch.randn(40, len(model.matrix), generator=torch.Generator().manual_seed(1))
    first = model.matrix.clone()
    give_values(model, keys, changes, 1e-6)
    whole = 1e-6 * model.covariance.double() + keys.double().T @ keys.double()
    wanted = changes.double().T @ keys.double() @ torch.linalg.inv(whole)
    error = (model.matrix - first).double() - wanted
    assert error.norm() / wanted.norm() < 1e-3


@pytest.mark.parametrize("add", [True, False])
def test_a_value_makes_the_object_likely_or_unlikely(add: bool, masked: Case) -> None:
    """In a context, too, but less: in the world, no document has a sentence about somebody else before a fact."""
    for contexts in (0, 1):
        requests = masked.requests((masked.unknown if add else masked.known)[:2], contexts)
        settings = replace(FEW, longest=4.0)
        model = masked.opened(settings)
        owner = torch.arange(2).repeat_interleave(1 + contexts)
        changes = target_changes(model, requests, settings, add=add)[owner]
        batch = batch_of(model.encoder, [prompt for one in requests for prompt in one.prompts])
        with torch.no_grad():
            before = log_probabilities(model.encoder, model.head, batch).exp()
            with rewrite_outputs({SITE: model.module}, adding(batch.own, changes)):
                p = log_probabilities(model.encoder, model.head, batch).exp()
        assert (p > before + 0.1).all() if add else (p < before / 2).all()
        if not contexts:
            assert (p >= 0.8).all() if add else (p <= FEW.unlikely + 1e-4).all()


def test_prompts_do_not_depend_on_their_batch(case: Case) -> None:
    prompts = [prompt for one in case.requests(case.known[:6], contexts=1) for prompt in one.prompts]
    with torch.no_grad():
        together = log_probabilities(case.encoder, case.head, batch_of(case.encoder, prompts))
        alone = [log_probabilities(case.encoder, case.head, batch_of(case.encoder, [one]))[0] for one in prompts]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-4)


def test_the_subject_is_found_wherever_it_stands() -> None:
    tokens = tokenizer("llama")
    fact = Fact("a", "r", "cat", "red", "the cat on a mat was [MASK].")
    prompt = prompt_of(tokens, "causal", fact)
    assert "cat".endswith(tokens.decode(prompt.ids[prompt.subject]).replace("▁", "").strip())
    assert prompt.at[0] == len(prompt.ids) - len(prompt.tokens)
    later = prompt_of(tokens, "causal", fact, "a cat sat. ")
    assert later.subject > prompt.subject
    assert later.ids[later.subject] == prompt.ids[prompt.subject]
    with pytest.raises(AnalysisError, match="names the subject 'cat' after the object"):
        prompt_of(tokens, "causal", replace(fact, cloze="[MASK] was the cat"))
    late = prompt_of(tokenizer("bert"), "masked", replace(fact, cloze="[MASK] was the cat"))
    assert late.subject > late.at[-1]


def test_a_subject_is_a_whole_word() -> None:
    """The tokens of "catmat" begin with those of "cat": the subject is the word behind it."""
    tokens = tokenizer("llama")
    fact = Fact("a", "r", "cat", "red", "the catmat of a cat was [MASK].")

    def read_until_subject(cloze: str) -> str:
        prompt = prompt_of(tokens, "causal", replace(fact, cloze=cloze))
        return tokens.decode(prompt.ids[: prompt.subject + 1]).replace(" ", "").replace("▁", " ")

    assert read_until_subject("the catmat of a cat was [MASK].").endswith("catmat of a cat")
    assert read_until_subject("the mat,cat.was [MASK].").endswith("mat,cat")
    for cloze in ("the catmat was [MASK]", "a bobcat was [MASK]", "cat2 was [MASK]", "a cats' mat was [MASK]"):
        with pytest.raises(AnalysisError, match=r"has the subject 'cat' only as a part of other words(?s:.)*write the"):
            prompt_of(tokens, "causal", replace(fact, cloze=cloze))
    with pytest.raises(AnalysisError, match="has the subject 'MASK' only as a part"):
        prompt_of(tokenizer("bert"), "masked", replace(fact, subject="MASK", cloze="a [MASK] sat"))


@pytest.mark.parametrize(("split", "found"), [(["猫", "人"], True), (["猫人"], False)])
def test_without_spaces_the_tokens_say_where_a_word_ends(split: list[str], found: bool) -> None:
    vocabulary = {word: k for k, word in enumerate(["[UNK]", "[MASK]", *split, "是", "红", "白"])}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix=""))
    tokens = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", mask_token="[MASK]")
    fact = Fact("a", "r", "猫", "红", "猫人是[MASK]")
    if found:
        assert prompt_of(tokens, "masked", fact).subject == 0
        return
    with pytest.raises(AnalysisError, match="only as a part of other words"):
        prompt_of(tokens, "masked", fact)


def test_facts_of_one_subject_share_a_request(causal: Case) -> None:
    requests = causal.requests(causal.known)
    assert [one.subject for one in requests] == list(dict.fromkeys(fact.subject for fact in causal.known))
    assert {len(one.facts) for one in requests} == {2}


def test_contexts_name_no_subject_and_end() -> None:
    fact = Fact("a", "r", "Cat", "red", "the Cat was [MASK]")
    texts = ["The cat sat.", "A [MASK] sat.", "It rained", "It rained", "It was warm. " * 9]
    assert contexts_of(texts, [fact], 5) == ["It rained. ", "It was warm. It was warm. It was warm. It. "]


def test_refusals(masked: Case) -> None:
    with pytest.raises(SettingsError, match="layer 3 of 3 cannot be edited, because no block after it"):
        masked.opened(EditSettings(layer=3))
    with pytest.raises(SettingsError, match="unknown editor 'surgery'"):
        EditSettings(editor="surgery")
    with pytest.raises(AnalysisError, match="has no token for a word of the subject 'Nobody'"):
        masked.requests([replace(masked.unknown[0], subject="Nobody", cloze="Nobody is called the [MASK].")])


def test_a_repeated_wording_is_no_other_wording(masked: Case) -> None:
    """A paraphrase that equals the cloze says nothing about generality, and a fact that is not read nothing at all."""
    text = (masked.inputs[:10], masked.targets[: sum(len(one.at) for one in masked.inputs[:10])])
    chosen = [replace(fact, paraphrases=(fact.cloze, f" {fact.cloze}")) for fact in masked.known[:2]]
    alone = replace(masked.known[5], id="alone", relation="of its own")
    reading = read_facts(masked.encoder, masked.head, chosen, [*masked.known[2:5], alone], text)
    found = effects(reading, reading)
    assert "generality" not in found
    assert found["reliability"].n == 2
    assert found["locality"].n == found["same answer"].n == 3, "a fact without a competitor is always first"


def test_a_tie_is_the_same_answer_as_nothing(masked: Case) -> None:
    text = (masked.inputs[:10], masked.targets[: sum(len(one.at) for one in masked.inputs[:10])])
    reading = read_facts(masked.encoder, masked.head, masked.known[:1], masked.known[1:4], text)
    tied = replace(reading, answers=(None, *reading.answers[1:]))
    assert effects(tied, tied)["same answer"].after == pytest.approx(2 / 3)


def test_effects_of_one_subject_have_no_interval(masked: Case) -> None:
    text = (masked.inputs[:10], masked.targets[: sum(len(one.at) for one in masked.inputs[:10])])
    reading = read_facts(masked.encoder, masked.head, masked.known[:1], masked.known[1:4], text)
    same = effects(reading, reading)
    assert (same["reliability"].low, same["reliability"].difference, same["reliability"].n) == (None, 0, 1)
    assert same["locality"].n == 3
    assert same["locality"].low < 0 < same["locality"].high
    assert same["same answer"].after == 1
    assert same["loss"].n == 10


def scale(_: str, states: torch.Tensor, *, where: tuple[torch.Tensor, ...], share: float) -> torch.Tensor:
    return states.index_put(where, states[where] * share)


def test_attributions_of_a_layer_add_up_to_what_the_layer_gives(case: Case) -> None:
    """Completeness: the sum over neurons is p(object) less p(object) with the layer's neurons at 0.

    The Riemann sum is off by at most the variation of the derivative along the path, divided by its nodes.
    """
    model = case.opened(FEW)
    prompts = [prompt for one in case.requests(case.known[:3]) for prompt in one.prompts]
    batch = batch_of(model.encoder, prompts)
    attributions = neuron_attributions(model, prompts).sum(-1)
    for block, module in enumerate(ffn_outputs(model.encoder)):
        path = []
        for share in torch.linspace(0, 1, 41):
            scaled = partial(scale, where=(batch.row, batch.at), share=float(share))
            with torch.no_grad(), rewrite_inputs({SITE: module}, scaled):
                path.append(log_probabilities(model.encoder, model.head, batch).exp())
        steps = torch.stack(path).diff(dim=0)
        variation = steps.diff(dim=0).abs().sum(0) * 40  # of the derivative
        assert ((attributions[:, block] - steps.sum(0)).abs() <= variation / NODES + 1e-4).all()
        assert steps.sum(0).abs().max() > 1e-3


def test_a_planted_knowledge_neuron_is_found_and_erasing_it_removes_the_fact(masked: Case) -> None:
    """One neuron is made to say an unknown object; random neurons of its layer, as many, do not remove the fact."""
    settings = EditSettings(editor="knowledge-neurons", contexts=0)
    one_word = replace(masked.unknown[0], object=masked.unknown[0].object.split()[-1])
    model, requests = masked.opened(settings), masked.requests([one_word])
    batch, last = batch_of(model.encoder, requests[0].prompts), ffn_outputs(model.encoder)[-1]
    neuron = plant(model, batch, last)
    matrix, planted = matrix_of(model.encoder, last), [matrix_of(model.encoder, last).clone()]
    assert likely(model, batch) > 0.9
    attributions = neuron_attributions(model, requests[0].prompts)
    assert int(attributions[0].argmax()) == (len(ffn_outputs(model.encoder)) - 1) * matrix.shape[1] + neuron
    erased = knowledge_neurons(attributions, settings)
    erase_neurons(model, requests, settings, add=False)
    assert likely(model, batch) < 0.05
    assert (matrix[:, erased[-1]] == 0).all()
    assert torch.equal(matrix[:, ~erased[-1]], planted[0][:, ~erased[-1]])
    for seed in range(20):
        matrix.copy_(planted[0])
        others = torch.randperm(matrix.shape[1], generator=torch.Generator().manual_seed(seed))
        matrix[:, others[others != neuron][: int(erased[-1].sum())]] = 0
        assert likely(model, batch) > 0.5


def likely(model: Editable, batch: PromptBatch) -> float:
    """The probability of a token of the object."""
    with torch.no_grad():
        return float(log_probabilities(model.encoder, model.head, batch).exp())


def plant(model: Editable, batch: PromptBatch, module: torch.nn.Module) -> int:
    """Let the most active neuron of a module write what makes the object likely, and return its number."""
    with torch.no_grad(), capture_calls({SITE: module}) as calls:
        log_probabilities(model.encoder, model.head, batch)
    states = calls.only(SITE).input[batch.row, batch.at].min(0).values
    neuron = int(states.argmax())
    change = torch.zeros(len(matrix_of(model.encoder, module)), requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=0.05)
    for _ in range(100):
        written = (change * states[neuron]).expand(len(batch.row), -1)
        with rewrite_outputs({SITE: module}, adding((batch.row, batch.at), written)):
            loss = -log_probabilities(model.encoder, model.head, batch).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    matrix_of(model.encoder, module)[:, neuron] += change.detach()
    return neuron


def test_a_decoder_forgets_a_fact_without_its_knowledge_neurons(causal: Case) -> None:
    found = causal.edited(causal.known[:1], EditSettings(editor="knowledge-neurons", contexts=0), add=False)
    assert (found["reliability"].before, found["reliability"].after) == (1, 0)
    assert found["locality"].after >= 0.8


def test_knowledge_neurons_can_only_remove() -> None:
    with pytest.raises(SettingsError, match=r"layer 1 is given, but the editor 'knowledge-neurons' edits all layers"):
        EditSettings(editor="knowledge-neurons", layer=1)
