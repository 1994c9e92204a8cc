"""Make a fake hub cache for `--scale smoke`: tiny random models and tiny data sets under the real names.

Only the weights, the hidden sizes and the texts differ from the real hub: names, file formats, numbers of blocks,
towers and the adapter are the real ones. A file marks every snapshot as made up, so that no number measured with it is
taken for a replication.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    DPRConfig,
    DPRContextEncoder,
    DPRQuestionEncoder,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import World, make_world
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.files.whole import whole_folder
from retroscope.reproduction.hub.cached import SMOKE_MARK
from retroscope.reproduction.places import made_up_snapshot
from retroscope.reproduction.published import PublishedStudy

ROWS = {"train": 110, "dev": 12}  # the fewest that every split of the probes can be made of
PEOPLE = 700
REGIONS = ("north", "south", "east")  # words that BM25 finds hard negatives by
WIDTH, HEADS, INNER = 16, 2, 24
POSITIONS = 512
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LLAMA_TOKENS = ("<unk>", "<s>", "</s>")
TUNED = 0.05  # standard deviation of what "fine-tuning" adds to a random backbone
BERT, DPR_QUESTION, DPR_CONTEXT, CONTRIEVER, LLAMA, REPLLAMA = (
    "bert-base-uncased",
    "facebook/dpr-question_encoder-single-nq-base",
    "facebook/dpr-ctx_encoder-single-nq-base",
    "facebook/contriever",
    "meta-llama/Llama-2-7b-hf",
    "castorini/repllama-v1-7b-lora-passage",
)


def made_up_hub(folder: Path, study: PublishedStudy) -> Path:
    """Make the fake hub cache in `folder`, unless it exists, and return `folder`.

    Args:
        study: the study whose data sets are made up.
    """
    world = make_world(WorldSettings(people=PEOPLE, seed=0))
    vocabulary = _words(world)
    if not folder.exists():
        with whole_folder(folder) as new, torch.random.fork_rng(), quiet():
            torch.manual_seed(0)
            _write_encoders(new, vocabulary)
            _write_decoders(new, vocabulary)
            for number, data in enumerate(study.data.values()):
                _write_data(new, data.source, data.folder, world, number * sum(ROWS.values()))
    return folder


def _snapshot(hub: Path, kind: str, source: str) -> Path:
    """Make the folder of one model or data set, with the layout of the hub's cache, and return it.

    Args:
        kind: "models" or "datasets".
        source: hub name.
    """
    snapshot = made_up_snapshot(hub, kind, source)
    references = snapshot.parents[1] / "refs"
    for folder in (snapshot, references):
        folder.mkdir(parents=True)
    (references / "main").write_text(snapshot.name, encoding="utf-8")
    (snapshot / SMOKE_MARK).write_text("random weights or made-up texts\n", encoding="utf-8")
    return snapshot


def _write_encoders(hub: Path, words: list[str]) -> None:
    """Write tiny BERT, DPR and Contriever models. DPR and Contriever have BERT's random weights with noise added."""
    tokenizer = _bert_tokenizer(words)
    shape = {"vocab_size": len(tokenizer), "hidden_size": WIDTH, "num_hidden_layers": 12, "num_attention_heads": HEADS,
             "intermediate_size": INNER, "max_position_embeddings": POSITIONS}  # fmt: skip
    bert = BertModel(BertConfig(**shape))
    _save(bert, tokenizer, _snapshot(hub, "models", BERT))
    contriever = BertModel(BertConfig(**shape))
    contriever.load_state_dict(_tuned(bert.state_dict()))
    _save(contriever, tokenizer, _snapshot(hub, "models", CONTRIEVER))
    for source, kind in ((DPR_QUESTION, DPRQuestionEncoder), (DPR_CONTEXT, DPRContextEncoder)):
        model = kind(DPRConfig(**shape))
        inside = {name for name in model.state_dict() if "bert_model." in name}
        head = next(iter(inside)).partition("bert_model.")[0] + "bert_model."
        tuned = {f"{head}{name}": value for name, value in _tuned(bert.state_dict()).items()}
        model.load_state_dict({name: value for name, value in tuned.items() if name in inside}, strict=False)
        _save(model, tokenizer, _snapshot(hub, "models", source))


def _write_decoders(hub: Path, words: list[str]) -> None:
    """Write a tiny LLaMA model with random weights, and a tiny RepLLaMA as a random adapter of it."""
    tokenizer = _llama_tokenizer(words)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=32, num_attention_heads=HEADS,
        intermediate_size=INNER, max_position_embeddings=POSITIONS, bos_token_id=1, eos_token_id=2, pad_token_id=None,
    )  # fmt: skip
    llama = LlamaModel(config)
    _save(llama, tokenizer, _snapshot(hub, "models", LLAMA))
    low_rank = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="FEATURE_EXTRACTION")
    adapted = get_peft_model(llama, low_rank)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=TUNED)
    place = _snapshot(hub, "models", REPLLAMA)
    adapted.save_pretrained(place)
    settings = place / "adapter_config.json"
    values = json.loads(settings.read_text(encoding="utf-8")) | {"base_model_name_or_path": LLAMA, "revision": None}
    settings.write_text(json.dumps(values, indent=1, sort_keys=True), encoding="utf-8")
    tokenizer.save_pretrained(place)


def _tuned(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a copy of weights with random noise, in place of fine-tuning."""
    return {name: value + TUNED * torch.randn_like(value) if value.is_floating_point() else value
            for name, value in weights.items()}  # fmt: skip


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, snapshot: Path) -> None:
    model.eval().save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)


def _write_data(hub: Path, source: str, folder: str, world: World, first: int) -> None:
    """Write the train and dev splits of a made-up data set about invented people.

    Args:
        hub: folder of the fake hub cache.
        source: hub name of the data set.
        folder: folder of its parquet files.
        world: the invented people with their questions and passages.
        first: index of the first person to use, so that every data set has other people.
    """
    snapshot = _snapshot(hub, "datasets", source)
    (snapshot / folder).mkdir()
    asked = {relevant: query.text for query, relevant in world.splits["train"]}  # one question a person
    region = {person: REGIONS[number % len(REGIONS)] for number, person in enumerate(asked)}
    asked = {person: f"{question} in the {region[person]}" for person, question in asked.items()}
    texts = {p.id: f"{p.text} In the {region[p.id]}." for p in world.passages if p.id in asked}
    for split, size in ROWS.items():
        people = list(asked)[first : first + size]
        table = pa.Table.from_pylist([_row(asked[person], person, people, texts) for person in people])
        pq.write_table(table, snapshot / folder / f"{split}-00000-of-00001.parquet")
        first += size


def _row(question: str, relevant: str, people: list[str], texts: Mapping[str, str]) -> dict[str, str]:
    """Return a row with the columns of the published data sets.

    The negatives are the passages of the four people who follow `relevant` in `people`. The list is read as a circle.
    """
    at = people.index(relevant)
    negatives = [people[(at + step) % len(people)] for step in range(1, 5)]
    row = {"question": question, "positive_context": texts[relevant]}
    return row | {f"negative_context_{i}": texts[person] for i, person in enumerate(negatives)}


def _words(world: World) -> list[str]:
    """Return every word of the world's questions and passages and of prompts, lower-case and sorted."""
    texts = [query.text for split in world.splits.values() for query, _ in split]
    texts += [passage.text for passage in world.passages]
    splitter = pre_tokenizers.BertPreTokenizer()
    words = (
        word
        for text in [*texts, "query: passage:", " ".join(REGIONS)]
        for word, _ in splitter.pre_tokenize_str(text.lower())
    )
    return sorted(set(words))


def _bert_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate([*BERT_TOKENS, *words])}
    backend = _backend(vocabulary, "[UNK]")
    around = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = dict(zip(names, BERT_TOKENS, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=POSITIONS, **special)


def _llama_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer with LLaMA's special tokens, which begins texts with <s> and has no padding token."""
    vocabulary = {word: number for number, word in enumerate([*LLAMA_TOKENS, *words])}
    backend = _backend(vocabulary, "<unk>")
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=POSITIONS, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def _backend(vocabulary: dict[str, int], unknown: str) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend
