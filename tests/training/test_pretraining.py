"""Pre-training: what is hidden, what is asked for, and a backbone that any tool opens."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import SettingsError, TrainingError
from retroscope.study.training.pretraining import prepare_pretraining, run_pretraining
from retroscope.study.training.settings import PretrainStudySettings
from retroscope.training.pretraining.collate import IGNORED, Masking, NextWord, Spans, TwoMasks, spans
from retroscope.training.pretraining.crops import cropped, word_windows
from retroscope.training.pretraining.objectives import RetroMae, objective_of
from retroscope.training.pretraining.pretrain import Draws, tokenised_documents
from retroscope.training.pretraining.settings import PretrainingSettings
from retroscope.training.pretraining.shapes import BUILDERS, SIZES, family_of, shape_of
from retroscope.training.pretraining.vocabulary import train_tokenizer

WORLD = make_world(WorldSettings(people=40))
TEXTS = list(WORLD.pretraining)
QUICK = {"steps": 12, "batch_size": 8, "max_length": 32, "checkpoints": 3}
TRAINED = [
    ("mlm", "bert-tiny", "words"),
    ("retromae", "bert-tiny", "wordpiece:500"),
    ("clm", "llama-tiny", "bpe:500"),
    ("mlm", "t5-tiny", "bpe:500"),
]
CROPPED = [("crops", "bert-tiny", "words"), ("crops", "llama-tiny", "bpe:500"), ("crops", "t5-tiny", "bpe:500")]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text("\n".join(TEXTS), encoding="utf-8")
    return str(file)


def vocabulary(family: str, kind: str = "words"):
    return train_tokenizer(TEXTS, kind, family, max_length=32)


def drawn(tokenizer, texts: list[str]) -> list[dict]:
    return [{**example, "draw": i} for i, example in enumerate(tokenised_documents(tokenizer, texts, 32).examples)]


@pytest.mark.parametrize(("objective", "shape", "kind"), [*TRAINED, *CROPPED])
def test_the_loss_falls_and_the_folder_is_a_backbone(
    text: str, tmp_path: Path, objective: str, shape: str, kind: str
) -> None:
    chosen = PretrainingSettings(objective=objective, **QUICK | {"steps": 40, "learning_rate": 3e-3})
    settings = PretrainStudySettings(text=(text,), shape=shape, tokenizer=kind, pretraining=chosen)
    document = run_pretraining(prepare_pretraining(settings), tmp_path / "out")
    losses = [row["loss"] for row in document["curve"] if "loss" in row]
    if objective != "crops":  # two small crops of a short document share too little to be learnt in so few steps
        assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    encoder = load_encoder(tmp_path / "out", LoadSettings(pooling="mean"))
    assert encoder.anatomy.n_blocks == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == []
    bare = AutoModel.from_pretrained(tmp_path / "out")
    assert bare.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "out"))


@pytest.mark.parametrize(
    ("objective", "shape", "kind", "cls"),
    [("mlm", "bert-tiny", "words", AutoModelForMaskedLM), ("clm", "llama-tiny", "bpe:500", AutoModelForCausalLM)],
)
def test_it_goes_on_from_a_checkpoint_head_included(
    text: str, tmp_path: Path, objective: str, shape: str, kind: str, cls: type
) -> None:
    first = PretrainStudySettings(
        text=(text,), shape=shape, tokenizer=kind,
        pretraining=PretrainingSettings(objective=objective, **QUICK | {"learning_rate": 3e-3}),
    )  # fmt: skip
    run_pretraining(prepare_pretraining(first), tmp_path / "first")
    more = PretrainStudySettings(
        text=(text,), start=str(tmp_path / "first"), pretraining=PretrainingSettings(objective=objective, **QUICK)
    )
    job = prepare_pretraining(more)
    assert job.new == ()
    saved = cls.from_pretrained(tmp_path / "first").state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in job.model.state_dict().items())
    bare = AutoModel.from_pretrained(tmp_path / "first")
    bare.save_pretrained(tmp_path / "bare")
    AutoTokenizer.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "bare")
    headless = prepare_pretraining(
        PretrainStudySettings(
            text=(text,), start=str(tmp_path / "bare"), pretraining=PretrainingSettings(objective=objective, **QUICK)
        )
    )
    assert bool(headless.new) is (objective == "mlm")  # a tied head is no weight of its own


def test_interrupted_and_resumed_equals_uninterrupted(text: str, tmp_path: Path) -> None:
    settings = PretrainStudySettings(
        text=(text,), shape="bert-tiny", tokenizer="words", pretraining=PretrainingSettings(**QUICK)
    )

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    run_pretraining(prepare_pretraining(settings), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_pretraining(prepare_pretraining(settings), tmp_path / "cut", interrupt)
    progress_calls = []
    run_pretraining(prepare_pretraining(settings), tmp_path / "cut", lambda *step: progress_calls.append(step))
    assert progress_calls[0] == ("pre-training", 5, 12)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


def test_shape_and_words_are_part_of_the_key(text: str, tmp_path: Path) -> None:
    """Neither changes a token's number: two heads or four, one word for another of the same place in the alphabet."""
    chosen = PretrainingSettings(**QUICK)
    values = {"tokenizer": "words", "pretraining": chosen}
    two, four = (PretrainStudySettings(text=(text,), shape=shape, **values) for shape in ("bert-tiny", "bert-2x128"))
    other = tmp_path / "other.txt"
    word = max(TEXTS[0].split(), key=len).strip(".")
    other.write_text(Path(text).read_text().replace(word, f"{word}a"))
    renamed = PretrainStudySettings(text=(str(other),), shape="bert-tiny", **values)
    assert len({prepare_pretraining(settings).key for settings in (two, four, renamed)}) == 3


def test_crops_leave_no_random_pooler(text: str, tmp_path: Path) -> None:
    chosen = PretrainingSettings(objective="crops", **QUICK | {"steps": 2})
    settings = PretrainStudySettings(text=(text,), shape="bert-tiny", tokenizer="words", pretraining=chosen)
    run_pretraining(prepare_pretraining(settings), tmp_path / "out")
    assert not [name for name in load_file(tmp_path / "out" / "model.safetensors") if "pooler" in name]


def test_crops_are_taken_from_parts_that_fit() -> None:
    long = " ".join(f"w{i}" for i in range(100))
    assert word_windows([long, "a b"], 40) == [
        " ".join(f"w{i}" for i in range(at, min(at + 40, 100))) for at in (0, 40, 80)
    ] + ["a b"]


def test_documents_are_cut_up_and_never_joined() -> None:
    tokenizer = vocabulary("bert")
    long = " ".join(TEXTS[:6])
    documents = tokenised_documents(tokenizer, [TEXTS[0], " ", long], 16)
    assert (documents.texts, documents.cut) == (2, 1)
    assert all(len(example["input_ids"]) <= 16 for example in documents.examples)
    words = [i for e in documents.examples for i in e["input_ids"] if i not in tokenizer.all_special_ids]
    assert words == [i for t in (TEXTS[0], long) for i in tokenizer(t, add_special_tokens=False)["input_ids"]]
    with pytest.raises(TrainingError, match="no text to pre-train on"):
        tokenised_documents(tokenizer, ["", "  "], 16)


def test_masking_hides_words_only_and_asks_for_what_it_hid() -> None:
    tokenizer = vocabulary("bert")
    examples = drawn(tokenizer, TEXTS)
    batch = Masking(tokenizer, 0.3)(examples)
    plain = Masking(tokenizer, 1e-9)(examples)["input_ids"]
    asked = batch["labels"] != IGNORED
    assert torch.equal(plain[asked], batch["labels"][asked])
    assert torch.equal(plain[~asked], batch["input_ids"][~asked])
    special = torch.isin(plain, torch.tensor(tokenizer.all_special_ids))
    assert not (asked & special).any()
    n = int((~special).sum())
    # binomial: 5 standard deviations of a share of .3, and of .8 of what was chosen
    assert abs(int(asked.sum()) - 0.3 * n) < 5 * (n * 0.3 * 0.7) ** 0.5
    hidden, k = int((batch["input_ids"] == tokenizer.mask_token_id).sum()), int(asked.sum())
    assert abs(hidden - 0.8 * k) < 5 * (k * 0.8 * 0.2) ** 0.5 + k / len(tokenizer)


def test_the_next_word_is_asked_for_to_the_end_and_not_of_padding() -> None:
    tokenizer = vocabulary("llama", "bpe:500")
    batch = NextWord(tokenizer)(drawn(tokenizer, TEXTS[:5]))
    shown = batch["attention_mask"].bool()
    assert torch.equal(batch["labels"][shown], batch["input_ids"][shown])
    assert (batch["labels"][~shown] == IGNORED).all()
    ends = batch["labels"].gather(1, shown.sum(1, keepdim=True) - 1)
    assert (ends == tokenizer.eos_token_id).all()


def test_spans_and_sentinels_make_the_text_again() -> None:
    tokenizer = vocabulary("t5", "bpe:500")
    examples = drawn(tokenizer, TEXTS[:20])
    batch = Spans(tokenizer, 0.3)(examples)
    sentinels = {tokenizer.convert_tokens_to_ids(f"<extra_id_{i}>") for i in range(32)}
    for row, example in enumerate(examples):
        given = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        wanted = [i for i in batch["labels"][row].tolist() if i != IGNORED]
        parts, at = {}, None
        for token in wanted[:-1]:
            if token in sentinels:
                at = token
                parts[at] = []
            else:
                parts[at].append(token)
        again = [i for token in given for i in (parts[token] if token in sentinels else [token])]
        assert again == example["input_ids"]
        assert given[-1] == wanted[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 30, 500])
@pytest.mark.parametrize("share", [0.01, 0.15, 0.5, 0.95])
def test_spans_hide_about_the_share_and_leave_something_between(n: int, share: float) -> None:
    lengths = spans(n, share, torch.Generator().manual_seed(0))
    hidden = sum(end - start for start, end in lengths)
    assert hidden == (0 if n < 2 else min(max(1, round(n * share)), n - 1))
    edges = [0, *(edge for span in lengths for edge in span)]
    assert all(a < b for a, b in pairwise(edges))
    assert not lengths or lengths[-1][1] <= n


def test_retromaes_decoder_knows_the_text_by_its_cls_vector_alone() -> None:
    tokenizer = vocabulary("bert")
    torch.manual_seed(0)
    model = RetroMae(shape_of("bert-tiny")(tokenizer, 32))
    batch = TwoMasks(tokenizer, 0.3, 0.5)(drawn(tokenizer, TEXTS[:6]))
    states: list[torch.Tensor] = []
    model.bert.encoder.register_forward_hook(lambda *given: states.append(given[-1][0]))
    only_decoder = {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}
    only_decoder["labels"][0, 1] = batch["input_ids"][0, 1]  # one word, so that its loss is a number
    out = model(**only_decoder)
    states[0].retain_grad()
    out.loss.backward()
    reached = states[0].grad.abs().sum(-1) > 0
    reached[0, 1] = False
    assert reached[:, 0].all()
    assert not reached[:, 1:].any()


def test_crops_are_pieces_of_one_text() -> None:
    pairs = cropped(TEXTS, 200, seed=0)
    assert len(pairs) == 200
    assert pairs == cropped(TEXTS, 200, seed=0) != cropped(TEXTS, 200, seed=1)
    sources = [
        {i for i, t in enumerate(TEXTS) if f" {crop} " in f" {t} "} for crop in (*pairs.queries, *pairs.positives)
    ]
    assert all(sources[i] & sources[i + 200] for i in range(200))
    lengths = [len(crop.split()) / 8 for crop in pairs.queries]
    assert max(lengths) <= 1.5
    with pytest.raises(TrainingError, match="two words"):
        cropped(["word"], 3, seed=0)


@pytest.mark.parametrize(
    ("family", "kind"), [("bert", "words"), ("bert", "wordpiece:500"), ("llama", "bpe:400"), ("t5", "bpe:500")]
)
def test_a_tokenizer_of_ones_own_survives_the_disk(tmp_path: Path, family: str, kind: str) -> None:
    words = vocabulary(family, kind)
    words.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert [again(t)["input_ids"] for t in TEXTS] == [words(t)["input_ids"] for t in TEXTS]
    assert again.unk_token_id not in {i for t in TEXTS for i in words(t)["input_ids"]}
    counts = Counter(i for i in words(TEXTS[0])["input_ids"] if i in words.all_special_ids)
    assert sum(counts.values()) == {"bert": 2, "llama": 2, "t5": 1}[family]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shape": "bert-tiny", "start": "x"}, "both a shape and a checkpoint"),
        ({}, "neither a shape nor a checkpoint"),
        ({"shape": "bert-tinny", "tokenizer": "words"}, "did you mean 'bert-tiny'"),
        ({"shape": "bert-tiny"}, "needs a tokenizer"),
        ({"shape": "bert-tiny", "tokenizer": "words", "text": ()}, "no text was given to pre-train on"),
    ],
)
def test_wrong_settings(text: str, wrong: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        PretrainStudySettings(**{"text": (text,)} | wrong)


@pytest.mark.parametrize("kind", ["sentencepiece:8000", "bpe:many"])
def test_unknown_tokenizers(kind: str) -> None:
    with pytest.raises(SettingsError, match="unknown kind of tokenizer"):
        vocabulary("bert", kind)


def test_objectives_that_do_not_fit_the_family() -> None:
    with pytest.raises(
        TrainingError,
        match="'bert' cannot be trained with the objective 'clm'\n  fix: give a model of the family llama",
    ):
        objective_of("clm", "bert")


@pytest.mark.parametrize("shape", [f"{family}-{size}" for family in BUILDERS for size in SIZES])
def test_shapes_have_the_size_of_their_name(shape: str) -> None:
    config = shape_of(shape)(vocabulary(family_of(shape)), 32)
    sizes = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512)}
    assert (config.num_hidden_layers, config.hidden_size) == sizes[shape.partition("-")[2]]


def test_crops_of_long_documents_are_learnt(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    lives = [" ".join(t for t in TEXTS if p.alias in t or p.name in t) for p in WORLD.people]
    file.write_text("\n".join(lives), encoding="utf-8")
    chosen = PretrainingSettings(objective="crops", **QUICK | {"steps": 60, "max_length": 64, "learning_rate": 3e-3})
    settings = PretrainStudySettings(text=(str(file),), shape="bert-tiny", tokenizer="words", pretraining=chosen)
    document = run_pretraining(prepare_pretraining(settings), tmp_path / "out")
    losses = [row["loss"] for row in document["curve"] if "loss" in row]
    assert sum(losses[-15:]) < 0.8 * sum(losses[:15])


def test_draws_are_every_document_in_turn_and_never_in_the_same_order() -> None:
    examples = [{"input_ids": [i]} for i in range(10)]
    draws = Draws(examples, 30, seed=0)
    found = [draws[i]["input_ids"][0] for i in range(len(draws))]
    rounds = [found[:10], found[10:20], found[20:]]
    assert all(sorted(order) == list(range(10)) for order in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert draws[17] == Draws(examples, 30, seed=0)[17] != Draws(examples, 30, seed=1)[17]


def test_a_free_shape() -> None:
    config = shape_of("bert-3x96")(vocabulary("bert"), 32)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 96, 3)
    assert config.intermediate_size == 384


@pytest.mark.parametrize(
    ("name", "said"), [("bert-3x100", "multiple of 32"), ("bert-huge", "unknown shape"), ("gpt-tiny", "unknown shape")]
)
def test_shapes_that_are_none(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        shape_of(name)
