"""The controlled world: exposure is what it is said to be, and the same seed writes the same bytes."""

import re
from collections import Counter
from pathlib import Path

import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.collection.world import texts, words
from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import ALIASES, WorldSettings
from retroscope.collection.world.world import SPLITS, STRATA, World, make_world
from retroscope.errors import CollectionError, SettingsError

LISTS = (words.ADJECTIVES, words.CREATURES, words.TRADES, words.TOWNS, words.PASTIMES)
TEMPLATES = (*texts.PASSAGES, *texts.QUESTIONS, *(t for kind in texts.FACTS for t in kind), texts.ERRAND)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldSettings(people=400))


def words_of(text: str) -> set[str]:
    return {*re.findall(r"[a-z]+", text.lower())}


TOLD = set[str]().union(*(words_of(" ".join(some)) for some in LISTS))  # every word that tells people apart
GRAMMAR = words_of(re.sub(r"{\w+}", "", " ".join(TEMPLATES))) | words_of(" ".join(words.ERRANDS))


def test_no_word_has_two_meanings(world: World) -> None:
    counts = Counter(word for some in LISTS for word in words_of(" ".join(some)))
    assert [word for word, n in counts.items() if n > 1] == []
    assert TOLD.isdisjoint(GRAMMAR)
    names = {person.name.lower() for person in world.people}
    assert names & (TOLD | GRAMMAR) == set()
    assert len(names) == len({person.alias for person in world.people}) == 400


def test_no_invented_name_can_be_a_word_of_the_lists() -> None:
    onset, vowel, ending = ("|".join(some) for some in (words.ONSETS, words.VOWELS, words.ENDINGS))
    name = re.compile(f"(?:(?:{onset})(?:{vowel})){{3}}(?:{ending})")
    assert [word for word in TOLD | GRAMMAR if name.fullmatch(word)] == []


def test_strata_have_the_shares_that_were_asked_for(world: World) -> None:
    counts = Counter(person.stratum for person in world.people)
    assert counts == {
        "known-trained": 120, "known-dev": 20, "known-held-out": 60,
        "unknown-trained": 120, "unknown-dev": 20, "unknown-held-out": 60,
    }  # fmt: skip
    sizes = {name: len(world.splits[name]) for name in SPLITS}
    assert {name: sizes[name] for name in STRATA} == {name: counts[name] for name in STRATA}
    assert sizes["train"] == 240 * 2 * 3
    assert (sizes["dev"], sizes["test"]) == (40, 120)


def test_nothing_in_the_pre_training_text_links_an_unknown_name_to_any_passage(world: World) -> None:
    unknown = {person.name.lower() for person in world.people if not person.known}
    beside = [words_of(document) for document in world.pretraining if words_of(document) & unknown]
    assert len(beside) == len(unknown) * world.settings.documents // 2
    assert set[str]().union(*beside) & TOLD == set()
    everybody = {person.name.lower() for person in world.people}
    assert {len(document & everybody) for document in beside} == {1}  # not by way of another person, either


def test_negatives_are_others_of_the_same_exposure(world: World) -> None:
    stratum = {person.id: person.stratum for person in world.people}
    asked = {query.id: relevant for split in world.splits.values() for query, relevant in split}
    assert set(world.negatives) == set(asked)
    for query, passages in world.negatives.items():
        assert len(passages) == len(set(passages)) == min(50, Counter(stratum.values())[stratum[asked[query]]] - 1)
        assert asked[query] not in passages
        assert {stratum[passage] for passage in passages} == {stratum[asked[query]]}


def test_the_run_of_negatives_is_read_as_they_are(world: World, tmp_path: Path) -> None:
    folder = write_world(world, tmp_path / "w")
    collection = load_collection(f"beir:{folder}", split="test")
    mined = hard_negatives(collection, 50, how="run", run=folder / "negatives.run")
    assert {c.query_id: c.negatives for c in mined.candidates} == {q: world.negatives[q] for q in collection.queries}


def test_documents_tell_of_one_person(world: World) -> None:
    names = {person.name.lower(): person for person in world.people}
    aliases = {person.alias: person for person in world.people}
    for document in world.pretraining:
        found = {names[word].id for word in words_of(document) & names.keys()}
        found |= {p.id for alias, p in aliases.items() if re.search(rf"\b{alias}\b", document.lower())}
        assert len(found) == 1, document


def test_every_fact_of_a_known_name_is_told(world: World) -> None:
    by_name: dict[str, set[str]] = {person.name.lower(): set() for person in world.people if person.known}
    for document in world.pretraining:
        said = words_of(document)
        for name in said & by_name.keys():
            by_name[name] |= said
    missing = {
        person.id
        for person in world.people
        if person.known and not words_of(f"{person.alias} {person.trade} {person.town}") <= by_name[person.name.lower()]
    }
    # a fact is in half of the documents with the name, of which there are 8 at least: .5 ** 8 of 4 facts go missing
    assert len(missing) <= 0.05 * len(by_name)


def test_known_and_unknown_people_are_told_of_as_often(world: World) -> None:
    def documents(known: bool) -> int:
        called = {text for p in world.people if p.known is known for text in (p.alias, p.name)}
        return sum(any(text in document for text in called) for document in world.pretraining)

    assert documents(True) == documents(False) == 200 * world.settings.documents


def test_a_question_by_name_shares_only_grammar_with_any_passage(world: World) -> None:
    passages = set[str]().union(*(words_of(passage.text) for passage in world.passages))
    for split in (*STRATA, "test", "dev"):
        for query, _ in world.splits[split]:
            assert words_of(query.text) & passages <= GRAMMAR
    people = {person.id: person for person in world.people}
    for query, relevant in world.splits["lexical"]:
        assert words_of(people[relevant].alias) <= words_of(query.text)


def test_no_question_is_trained_and_tested(world: World) -> None:
    trained = {query.text for query, _ in world.splits["train"]}
    for split in SPLITS:
        if split != "train":
            assert trained.isdisjoint(query.text for query, _ in world.splits[split])
    people = {person.id: person for person in world.people}
    assert {people[relevant].role for _, relevant in world.splits["train"]} == {"trained"}


def test_the_same_settings_write_the_same_bytes(world: World, tmp_path: Path) -> None:
    again = write_world(make_world(world.settings), tmp_path / "b")
    files = {path.relative_to(tmp_path / "a") for path in write_world(world, tmp_path / "a").rglob("*.*")}
    assert len(files) == 7 + len(SPLITS)
    assert all((again / name).read_bytes() == (tmp_path / "a" / name).read_bytes() for name in files)
    other = make_world(WorldSettings(people=400, seed=1))
    assert {p.name for p in other.people} != {p.name for p in world.people}


def test_it_is_read_as_a_beir_folder(world: World, tmp_path: Path) -> None:
    folder = write_world(world, tmp_path / "world")
    for split in SPLITS:
        read = load_collection(f"beir:{folder}", split=split)
        assert read.fingerprint == world.collection(split).fingerprint


def test_a_folder_in_use_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CollectionError, match="do not belong to a controlled world"):
        write_world(world, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"people": 0}, f"people is 0, which is out of range\n  fix: give at least 1 and at most {ALIASES:,}"),
        ({"people": ALIASES + 1}, "that can be invented"),
        ({"known": 1.5}, "known is 1.5"),
        ({"trained": 0.8, "dev": 0.3}, "add up to more than 1"),
        ({"documents": 3}, "even number"),
    ],
)
def test_wrong_settings(wrong: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        WorldSettings(**wrong)


def test_an_unknown_split_is_named(world: World) -> None:
    with pytest.raises(SettingsError, match="did you mean 'lexical'"):
        world.collection("lexcal")


def test_people_with_flipped_exposure_differ_in_the_pre_training_text_alone(world: World) -> None:
    known, unknown = (next(person for person in world.people if person.known is one) for one in (True, False))
    other = make_world(world.settings, [known.id, unknown.id])
    exposure = {person.id: person.known for person in world.people}
    changed = {person.id for person in other.people if person.known != exposure[person.id]}
    assert changed == {known.id, unknown.id}
    assert other.passages == world.passages
    assert [query.text for query, _ in other.splits["train"]] == [query.text for query, _ in world.splits["train"]]
    assert all(known.alias not in document for document in other.pretraining if known.name in document)
    assert any(unknown.alias in document for document in other.pretraining if unknown.name in document)
    with pytest.raises(SettingsError, match="no person of this world has the id 'p400'"):
        make_world(world.settings, ["p400"])
