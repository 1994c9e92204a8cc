"""A trained folder is an ordinary one: sentence-transformers alone opens it and gives the same vectors."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from retroscope.collection.collection import Collection
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import EncoderError, RetroscopeError, SettingsError, TrainingError
from retroscope.files.locks import LOCK
from retroscope.files.partials import in_use
from retroscope.inputs.settings import DataSettings, ModelSettings
from retroscope.study.training.fine_tuning import TrainJob, run_training
from retroscope.study.training.settings import TrainStudySettings
from retroscope.surgery.reinitialise import reinitialise
from retroscope.training.folder import last_checkpoint
from retroscope.training.pairs import training_pairs
from retroscope.training.settings import TrainingSettings
from retroscope.training.watch import WHOLE, listed_files
from toys import TEXTS

QUICK = {"steps": 4, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 2}


@pytest.fixture
def job(toy: Callable, pairs_of: Callable[..., Collection]) -> Callable[..., TrainJob]:
    def make_job(name: str, training: TrainingSettings, **load) -> TrainJob:
        source, backbone = toy(name, **load)
        collection = pairs_of(24)
        settings = TrainStudySettings(
            backbone=ModelSettings(source=str(source), load=LoadSettings(**{"pooling": "mean"} | load)),
            data=DataSettings(source="pairs"),
            training=training,
        )
        return TrainJob(backbone, collection, training_pairs(collection), None, settings)

    return make_job


@pytest.mark.parametrize(
    ("name", "strategy", "load"),
    [
        ("bert", "full", {"pooling": "cls"}),
        ("bert", "head", {"similarity": "dot"}),
        ("roberta", "lora", {}),
        ("t5", "full", {}),
        ("modernbert", "norms", {}),
        ("llama", "full", {"pooling": "last_token", "append_eos": True}),
        ("llama", "lora", {"pooling": "last_token", "append_eos": True, "padding_side": "left"}),
        ("qwen3", "lora", {"pooling": "last_token"}),
    ],
)
def test_sentence_transformers_alone_gives_our_vectors(
    job: Callable[..., TrainJob], tmp_path: Path, name: str, strategy: str, load: dict
) -> None:
    training = job(name, TrainingSettings(strategy=strategy, **QUICK), **load)
    document = run_training(training, tmp_path / "out")
    assert document["steps"] == 4
    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    ours = load_retriever(tmp_path / "out")
    assert ours.similarity == theirs.similarity_fn_name == load.get("similarity", "cosine")
    assert (ours.query.recipe.prompt, ours.passage.recipe.prompt) == ("Who ", "A ")
    texts = [*TEXTS, " ".join(TEXTS)]  # the last is cut
    for tower, wanted in (("query", theirs.encode_query(texts)), ("passage", theirs.encode_document(texts))):
        encoder = ours.tower(tower)
        vectors = final_vectors(encoder, tokenise(encoder, texts))
        torch.testing.assert_close(vectors, torch.from_numpy(wanted), atol=1e-5, rtol=1e-5)
    before = training.backbone.query
    start = final_vectors(before, tokenise(before, texts))
    assert (final_vectors(ours.query, tokenise(ours.query, texts)) - start).abs().max() > 1e-3
    assert not list((tmp_path / "out").rglob("*.bin"))  # no pickle


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_half_precision_ends_with_the_training(job: Callable[..., TrainJob], tmp_path: Path, strategy: str) -> None:
    """The trainer leaves every later forward pass in bfloat16, whose rounding is no property of the saved model."""
    settings = TrainingSettings(strategy=strategy, precision="bfloat16", **QUICK)
    run_training(job("llama", settings, pooling="last_token"), tmp_path / "out")
    curve = json.loads((tmp_path / "out" / "training.json").read_text())["curve"]
    plain = run_training(job("llama", replace(settings, precision="float32"), pooling="last_token"), tmp_path / "plain")
    assert [row.get("loss") for row in curve] != [row.get("loss") for row in plain["curve"]], "it was trained in it"


def test_an_ending_that_was_asked_for_is_the_tokenizers_own(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    training = job("llama", TrainingSettings(**QUICK), pooling="last_token", append_eos=True, max_length=6)
    run_training(training, tmp_path / "out")
    tokens = SentenceTransformer(str(tmp_path / "out"), device="cpu").tokenizer
    long = tokens(TEXTS[3], truncation=True)["input_ids"]
    assert (len(long), long[-1], long.count(tokens.eos_token_id)) == (6, tokens.eos_token_id, 1)
    rows = tokenise(training.backbone.passage, [TEXTS[3]])
    assert tokens("A " + TEXTS[3], truncation=True)["input_ids"] == rows[0]


def test_a_chat_template_is_not_put_around_texts(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    """sentence-transformers reads texts as messages wherever the tokenizer knows how to write a chat."""
    training = job("llama", TrainingSettings(strategy="lora", **QUICK), pooling="last_token")
    folder = tmp_path / "chatty"
    shutil.copytree(training.settings.backbone.source, folder)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}s {{ m['content'] }} e{% endfor %}")
    chosen = replace(training.settings, backbone=replace(training.settings.backbone, source=str(folder)))
    values = {"pooling": "last_token", "query_prompt": "Who ", "passage_prompt": "A ", "max_length": 32}
    chatty = replace(training, backbone=load_retriever(folder, **values), settings=chosen)
    assert chatty.backbone.passage.tokenizer.chat_template
    run_training(chatty, tmp_path / "out")
    run_training(training, tmp_path / "plain")
    ours, theirs = (SentenceTransformer(str(tmp_path / name), device="cpu").encode(TEXTS) for name in ("out", "plain"))
    np.testing.assert_array_equal(ours, theirs)
    values = json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())
    values["modality_config"]["message"] = {**values["modality_config"]["text"], "format": "flat"}
    (tmp_path / "out" / "sentence_bert_config.json").write_text(json.dumps(values))
    with pytest.raises(EncoderError, match="texts become messages of a chat"):
        load_retriever(tmp_path / "out")


def test_the_same_command_again_trains_nothing(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    training = job("bert", TrainingSettings(**QUICK))
    one = run_training(training, tmp_path / "out")
    progress_calls = []
    assert run_training(training, tmp_path / "out", lambda *step: progress_calls.append(step)) == one
    assert progress_calls == []
    assert json.loads((tmp_path / "out" / "training.json").read_text()) == one
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| trained with | 24 pairs of pairs |" in card


def test_a_folder_of_another_training_is_left_alone(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    run_training(job("bert", TrainingSettings(**QUICK)), tmp_path / "out")
    other = job("bert", TrainingSettings(**QUICK, seed=1))
    with pytest.raises(TrainingError, match="written by another training"):
        run_training(other, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="this folder already contains other files"):
        run_training(other, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_checkpoints_of_another_training_are_not_gone_on_with(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    training = job("bert", TrainingSettings(**QUICK))
    with pytest.raises(KeyboardInterrupt):
        run_training(training, tmp_path / "out", interrupt)
    with pytest.raises(TrainingError, match="checkpoints in this folder belong to another training"):
        run_training(job("bert", TrainingSettings(**QUICK, seed=1)), tmp_path / "out")
    whole = run_training(training, tmp_path / "whole")
    resumed = run_training(training, tmp_path / "out")
    assert resumed == whole
    for name in ("model.safetensors", "training.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_training_that_wrote_no_checkpoint_gives_way(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    failed = job("bert", TrainingSettings(**QUICK | {"learning_rate": 9e5, "evaluations": 1}, strategy="lora"))
    with pytest.raises(TrainingError, match="the training loss is"):
        run_training(failed, tmp_path / "out")
    mended = job("bert", TrainingSettings(**QUICK))
    run_training(mended, tmp_path / "out")
    run_training(mended, tmp_path / "fresh")
    names = [sorted(path.name for path in (tmp_path / name).rglob("*")) for name in ("out", "fresh")]
    assert names[0] == names[1]


def test_a_training_killed_while_it_began_goes_on(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    (tmp_path / "out" / "checkpoints").mkdir(parents=True)
    (tmp_path / "out" / ".checkpoints.abcdefgh.partial").mkdir()
    (tmp_path / "out" / ".retroscope.lock").touch()
    run_training(job("bert", TrainingSettings(**QUICK)), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith((".", "check"))} == set()


def test_a_finished_training_sheds_what_a_killed_run_left(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    training, out = job("bert", TrainingSettings(**QUICK)), tmp_path / "out"
    done = run_training(training, out)
    before = sorted(out.rglob("*"))
    (out / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (out / ".training.json.abcdefgh.partial").touch()
    assert run_training(training, out) == done
    assert sorted(out.rglob("*")) == before


def test_a_folder_is_written_by_one_training_at_a_time(job: Callable[..., TrainJob], tmp_path: Path) -> None:
    training, lock = job("bert", TrainingSettings(**QUICK)), tmp_path / "out" / LOCK
    lock.parent.mkdir()
    with lock.open("wb") as file, in_use(file):
        with pytest.raises(SettingsError, match="another run is writing to this folder"):
            run_training(training, tmp_path / "out")
        assert [path.name for path in lock.parent.iterdir()] == [LOCK]
    run_training(training, tmp_path / "out")
    assert not lock.exists()


def test_a_checkpoint_is_whole_only_once_it_is_on_the_disk(tmp_path: Path) -> None:
    for step in (2, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}" / WHOLE).write_text(listed_files(tmp_path / f"checkpoint-{step}"))
    (tmp_path / "checkpoint-2").joinpath("trainer_state.json").unlink()  # killed while an older one was removed
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"], "the others are removed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pooling": "pooler"}, "pooling pooler"),
        ({"truncate_dim": 8}, "truncate_dim 8"),
    ],
)
def test_a_recipe_that_a_folder_cannot_carry_is_refused(
    job: Callable[..., TrainJob], tmp_path: Path, change: dict, said: str
) -> None:
    with pytest.raises(RetroscopeError, match=said):
        run_training(job("bert", TrainingSettings(**QUICK), **change), tmp_path / "out")


def test_a_copy_of_an_adapter_finds_a_base_that_was_no_plain_folder(
    job: Callable[..., TrainJob], tmp_path: Path
) -> None:
    """The backbone is itself a trained folder: its plain copy lies beside the adapter."""
    first = job("bert", TrainingSettings(**QUICK))
    run_training(first, tmp_path / "first")
    backbone = load_retriever(tmp_path / "first")
    chosen = replace(first.settings, backbone=ModelSettings(source=str(tmp_path / "first")),
                     training=TrainingSettings(strategy="lora", **QUICK))  # fmt: skip
    run_training(replace(first, backbone=backbone, settings=chosen), tmp_path / "second")
    document = json.loads((tmp_path / "second" / "adapter_config.json").read_text())
    assert Path(document["base_model_name_or_path"]) == (tmp_path / "second" / "backbone").resolve()
    before = load_retriever(tmp_path / "second").passage.fingerprint
    (tmp_path / "second").rename(tmp_path / "moved")
    (tmp_path / "second").mkdir()
    shutil.copytree(tmp_path / "first", tmp_path / "second" / "backbone")
    (tmp_path / "second" / "backbone" / "modules.json").unlink()
    assert load_retriever(tmp_path / "moved").passage.fingerprint == before, "its own base, not what lies there now"


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_a_reinitialised_backbone_is_the_one_that_is_trained(
    job: Callable[..., TrainJob], tmp_path: Path, strategy: str
) -> None:
    plain = job("bert", TrainingSettings(strategy=strategy, **QUICK))
    drawn = replace(
        plain,
        backbone=reinitialise(plain.backbone, ("embeddings", "top:1"), 0),
        settings=replace(plain.settings, reinitialise=("embeddings", "top:1")),
    )
    document = run_training(drawn, tmp_path / "out")  # proves that the folder gives the vectors of what was trained
    assert document["settings"]["reinitialise"] == ["embeddings", "top:1"]
    assert drawn.key != plain.key
    assert "embeddings, top:1" in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "backbone").exists() == (strategy == "lora"), "an adapter needs its base for ever"
