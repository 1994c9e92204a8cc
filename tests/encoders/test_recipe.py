"""A recipe remembers where its fields came from, and that is no part of what it does."""

import json

import pytest

from retroscope.encoders.recipe import Recipe
from retroscope.errors import SettingsError

PLAIN = Recipe(pooling="mean", max_length=32, sources={"pooling": "checkpoint: 1_Pooling/config.json"})


def test_a_changed_field_remembers_its_source() -> None:
    changed = PLAIN.but("user", prompt="query: ", max_length=16)
    assert (changed.prompt, changed.max_length, changed.pooling) == ("query: ", 16, "mean")
    assert changed.sources == {
        "pooling": "checkpoint: 1_Pooling/config.json", "prompt": "user", "max_length": "user"
    }  # fmt: skip
    assert PLAIN.prompt == ""


def test_identity_holds_what_changes_a_vector_and_not_who_said_so() -> None:
    assert PLAIN.identity() == PLAIN.but("user", pooling="mean").identity()
    assert PLAIN.identity() != PLAIN.but("user", pooling="cls").identity()
    assert set(PLAIN.identity()) == set(Recipe.__dataclass_fields__) - {"sources"}


def test_a_recipe_is_json() -> None:
    recipe = PLAIN.but("checkpoint", head=("dense", "normalize"))
    document = json.loads(json.dumps(recipe.as_dict()))
    assert Recipe(**{**document, "head": tuple(document["head"])}) == recipe


@pytest.mark.parametrize("name", ["pooling_", "sources", "max_len"])
def test_an_unknown_field_shows_the_near_names(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"a recipe has no field '{name}'\n  fix: "):
        PLAIN.but("user", **{name: 1})


def test_a_misspelt_field_is_guessed() -> None:
    with pytest.raises(SettingsError, match="did you mean 'max_length'"):
        PLAIN.but("user", max_lenght=3)
