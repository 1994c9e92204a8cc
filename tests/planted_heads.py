"""An encoder in which one attention head copies the subject of a text to the position that is pooled.

Block 2, head 1 attends from [CLS] to the token that is marked as a name, and writes what it is; nothing else of a text
reaches [CLS]. The other heads write something, too, and the same for every text of one length: block 1, head 0 attends
to all tokens alike and reads the mark of [CLS], all others attend to [CLS].
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever

COPYING = (2, 1)  # layer and number of the head that copies
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES = tuple(f"name{i}" for i in range(40))
FILLERS = tuple(f"word{i}" for i in range(30))
WIDTH, HEADS = 64, 4
EACH = WIDTH // HEADS
IS_NAME, IS_CLS = 0, 1  # dimensions that mark a name and [CLS]
IDENTITY = slice(8, 24)  # dimensions that say which token it is
WRITTEN = slice(40, 56)  # dimensions that the copying head writes to, and no embedding uses
SHARP = 40.0


def make_copying(folder: Path, *, copies: bool = True, seed: int = 0) -> Retriever:
    """Return the retriever, pooled by [CLS].

    Args:
        copies: whether the head finds the name; else it attends to [CLS] as all others do.
    """
    tokenizer = _tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=HEADS,
        intermediate_size=8, max_position_embeddings=32,
    )  # fmt: skip
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config).eval()
        _plant(model, tokenizer, copies=copies)
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_retriever(folder, pooling="cls", similarity="dot", name="copying" if copies else "blind")


def make_names(seed: int = 0) -> Collection:
    """Return a query and a passage about every name; they share nothing but the name, which is anywhere in them."""
    generator = torch.Generator().manual_seed(seed)

    def text(name: str) -> str:
        words = [FILLERS[i] for i in torch.randperm(len(FILLERS), generator=generator)[:5].tolist()]
        words.insert(int(torch.randint(6, (1,), generator=generator)), name)
        return " ".join(words)

    passages = [Passage(f"p{i}", text(name)) for i, name in enumerate(NAMES)]
    queries = [Query(f"q{i}", text(name)) for i, name in enumerate(NAMES)]
    return make_collection("names", passages, queries, [Judgment(f"q{i}", f"p{i}") for i in range(len(NAMES))])


@torch.no_grad()
def _plant(model: BertModel, tokenizer: PreTrainedTokenizerFast, *, copies: bool) -> None:
    embeddings = model.embeddings
    embeddings.position_embeddings.weight.zero_()
    embeddings.token_type_embeddings.weight.zero_()
    words = embeddings.word_embeddings.weight
    words.zero_()
    words[:, IDENTITY] = torch.randn(len(words), EACH)
    names = tokenizer.convert_tokens_to_ids(list(NAMES))
    words[names, IS_NAME] = 6.0
    words[tokenizer.cls_token_id, IS_CLS] = 6.0
    for number, block in enumerate(model.encoder.layer, start=1):
        attention = block.attention
        for matrix in (attention.self.query, attention.self.key):
            matrix.weight.zero_()
            matrix.bias.zero_()
        attention.output.dense.weight.mul_(5)  # what the others write is not small
        block.intermediate.dense.weight.zero_()
        block.output.dense.weight.zero_()
        attention.self.query.bias[::EACH] = SHARP  # every head asks for one mark
        for head in range(HEADS):
            mark = IS_NAME if copies and (number, head) == COPYING else IS_CLS
            attention.self.key.weight[head * EACH, mark] = 1.0
        if number == 1:
            attention.self.key.weight[0] = 0
            attention.self.value.weight[:EACH] = 0
            attention.self.value.weight[:EACH, IS_CLS] = 1.0
        if number == COPYING[0]:
            part = slice(COPYING[1] * EACH, (COPYING[1] + 1) * EACH)
            attention.self.value.weight[part] = 0
            attention.self.value.weight[part, IDENTITY] = torch.eye(EACH)
            attention.output.dense.weight[:, part] = 0
            attention.output.dense.weight[WRITTEN, part] = 2 * torch.eye(EACH)


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *NAMES, *FILLERS))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=32,
    )  # fmt: skip
