"""What F is: the norm before it is made one, the score, the margin; of texts and of examples."""

from dataclasses import replace

import pytest
import torch
from oracles import limit, scores, toy
from torch import Tensor, nn
from torch.nn.functional import normalize

from retroscope.attribution.objective import Objective, norms, unnormalised
from retroscope.encoders.encode import encode_rows, finish, tokenise
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.final_modules import Dense, Normalize
from toys import TEXTS


def pooled(encoder: Encoder, texts: tuple[str, ...] = TEXTS) -> Tensor:
    return encode_rows(encoder, tokenise(encoder, texts)).layers[:, -1]


def headed(encoder: Encoder, *parts: nn.Module) -> Encoder:
    return replace(encoder, head=nn.Sequential(*parts))


def dense() -> Dense:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(16, 5).requires_grad_(False)
    linear.weight.copy_(torch.randn(5, 16, generator=generator))
    return Dense(linear, nn.Tanh())


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_the_norm_is_that_of_the_embedding_before_normalisation(name: str) -> None:
    encoder = toy(name)
    vectors, texts = pooled(encoder), torch.arange(4)
    asked = norms(TEXTS, encoder.device)
    assert torch.equal(asked.of_texts(headed(encoder, Normalize()), vectors, texts), vectors.norm(dim=1))
    head = dense()
    expected = head(vectors).norm(dim=1)
    values = asked.of_texts(headed(encoder, head, Normalize()), vectors, texts)
    torch.testing.assert_close(values, expected)
    assert values.std() > 1e-3  # behind Normalize it would be 1 for every text


def test_the_norm_is_of_the_dimensions_that_are_kept() -> None:
    encoder = toy("bert")
    cut = replace(encoder, recipe=encoder.recipe.but("test", truncate_dim=4))
    vectors = pooled(encoder)
    assert torch.equal(unnormalised(cut, vectors), vectors[:, :4])


def test_the_models_own_pooler_comes_first() -> None:
    encoder = toy("bert")
    with_pooler = replace(encoder, recipe=encoder.recipe.but("test", pooling="pooler"))
    vectors = pooled(encoder)
    layer = encoder.backbone.pooler.dense
    torch.testing.assert_close(unnormalised(with_pooler, vectors), torch.tanh(layer(vectors)))


@pytest.mark.parametrize("cosine", [False, True])
def test_a_score_is_the_similarity_of_final_vectors(cosine: bool) -> None:
    encoder = headed(toy("bert"), dense())
    vectors, texts = pooled(encoder), torch.tensor([3, 0, 0])
    other = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    asked = Objective(other, torch.tensor([1.0, 1.0, 1.0, -1.0]), torch.arange(4), cosine)
    final = finish(encoder, vectors)
    own = normalize(final, dim=-1) if cosine else final
    expected = torch.stack([-own[3] @ other[3], own[0] @ other[0], own[0] @ other[0]])
    torch.testing.assert_close(asked.of_texts(encoder, vectors[texts], texts), expected)


def test_a_example_sums_its_texts_and_may_be_asked_for_alone() -> None:
    asked = replace(scores(toy("bert"), 4), example=torch.tensor([0, 0, 1, 2]))
    assert asked.n_examples == 3
    assert [asked.texts_of(example) for example in range(3)] == [[0, 1], [2], [3]]
    shares = torch.tensor([[1.0, 2.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0]])
    assert asked.of_examples(shares).tolist() == [[3, 4, 8], [2, 1, 1]]
    some = asked.only([2, 0])
    assert some.example.tolist() == [0, 1, 1]
    assert torch.equal(some.other, asked.other[[3, 0, 1]])
    assert some.of_examples(shares[:, [3, 0, 1]]).tolist() == [[8, 3], [1, 2]]
    assert norms("abc", torch.device("cpu")).only([1]).n_examples == 1


def test_a_margin_is_a_difference_of_scores() -> None:
    encoder = toy("llama")
    query, vectors = torch.randn(16, generator=torch.Generator().manual_seed(2)), pooled(encoder, TEXTS[:2])
    asked = Objective(query.expand(2, -1), torch.tensor([1.0, -1.0]), torch.tensor([0, 0]))
    shares = asked.of_texts(encoder, vectors, torch.arange(2))
    expected = float(vectors[0] @ query - vectors[1] @ query)
    assert abs(float(asked.of_examples(shares)) - expected) <= limit(encoder) * float(vectors.norm() * query.norm())
