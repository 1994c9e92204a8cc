"""Facts: what each layout gives, and what is refused, with file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from retroscope.collection.facts.loading import load_facts
from retroscope.collection.facts.records import Fact, make_facts, template
from retroscope.collection.loading import load_collection
from retroscope.collection.readers.facts.layouts import fact_lines
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.files import write_world
from retroscope.collection.world.people import WorldSettings
from retroscope.collection.world.world import make_world
from retroscope.errors import CollectionError, SettingsError

ROW: dict[str, Any] = {
    "id": "f1", "relation": "P19", "subject": "Ada", "object": "London", "cloze": "Ada was born in [MASK] .",
    "question": "Where was Ada born?", "passages": ["Ada is from London."],
}  # fmt: skip


def written(file: Path, *rows: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_own_layout(tmp_path: Path) -> None:
    more = {"paraphrases": ["[MASK] is where Ada was born ."], "stratum": "known", "popularity": 3, "others": ["UK"]}
    facts = load_facts(f"facts:{written(tmp_path / 'f.jsonl', ROW | more, ROW | {'id': 'f2', 'object': 'Paris'})}")
    assert [fact.object for fact in facts.by_relation["P19"]] == ["London", "Paris"]
    first = facts.facts[0]
    assert first.clozes == ("Ada was born in [MASK] .", "[MASK] is where Ada was born .")
    assert (first.stratum, first.popularity, first.others) == ("known", 3.0, ("UK",))
    assert template(first.clozes[1], first.subject) == "[MASK] is where [X] was born ."


def test_facts_are_written_as_they_are_read(tmp_path: Path) -> None:
    facts = load_facts(written(tmp_path / "f.jsonl", ROW, ROW | {"id": "f2", "subject": "Bo", "cloze": "Bo: [MASK]"}))
    (tmp_path / "again.jsonl").write_text("".join(fact_lines(facts)))
    assert load_facts(tmp_path / "again.jsonl").facts == facts.facts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"cloze": "Ada was born ."},
            r"f\.jsonl, line 2: the cloze .* must contain \[MASK\] once, but contains it 0 times",
        ),
        ({"cloze": "[MASK] [MASK] Ada"}, r"line 2: .* contains it 2 times"),
        (
            {"cloze": "She was born in [MASK] ."},
            r"line 2: .* does not contain the subject of the fact, 'Ada'\n  fix: write 'Ada' in the cloze",
        ),
        ({"object": " "}, r"line 2: the field 'object' of this fact is empty"),
        ({"object": 3}, r"line 2: column 'object' must be text"),
        ({"popularity": float("nan")}, r"line 2: the field 'popularity' must be a number, found nan"),
        ({"popularity": "much"}, r"line 2: the field 'popularity' must be a number, found 'much'"),
        ({"popularity": "1_000"}, r"line 2: the field 'popularity' must be a number, found '1_000'"),
        ({"popularity": "\uff11\uff12"}, r"line 2: the field 'popularity' must be a number"),
        ({"popularity": 10**400}, r"line 2: the field 'popularity' must be a number"),
        ({"passages": 4}, r"line 2: column 'passages' must be a list"),
        ({"id": "f1", "object": "Rome"}, r"line 2: two facts have the id 'f1'; the first is at .*line 1"),
        ({}, r"line 2: the fact \('P19', 'Ada', 'London'\) is given twice; the first is at .*line 1"),
    ],
)
def test_unsound_facts_are_refused_with_file_and_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match=message):
        load_facts(f"facts:{written(tmp_path / 'f.jsonl', ROW, ROW | {'id': 'f2'} | change)}")


def test_what_is_no_facts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CollectionError, match="must fit exactly one layout of facts; it fits none"):
        load_facts(written(tmp_path / "f.jsonl", {"query": "a", "positive": "b"}))
    with pytest.raises(CollectionError, match="no such file"):
        load_facts(tmp_path / "g.jsonl")
    with pytest.raises(SettingsError, match="layout of facts 'popq'"):
        load_facts("popq:file")
    with pytest.raises(CollectionError, match=r"line 1: no column 'relation'") as caught:
        load_facts(f"facts:{written(tmp_path / 'h.jsonl', {'id': 'a'})}")
    assert "data.columns" not in str(caught.value)  # facts have no other names for their fields


def test_lama(tmp_path: Path) -> None:
    written(tmp_path / "relations.jsonl", {"relation": "P19", "template": "[X] was born in [Y] ."})
    evidence = {"sub_surface": "Ada", "obj_surface": "London", "masked_sentence": "Ada is from [MASK]."}
    row = {"uuid": "u", "sub_label": "Ada", "obj_label": "London", "evidences": [evidence, evidence]}
    written(tmp_path / "TREx" / "P19.jsonl", row, row | {"uuid": "v"})
    facts = load_facts(tmp_path)
    assert facts.layout == "lama"
    assert facts.notes == ("1 facts that are stated twice, kept once",)
    assert facts.facts == (
        Fact("P19-u", "P19", "Ada", "London", "Ada was born in [MASK] .", passages=("Ada is from London.",)),
    )


def test_relations_of_lama_have_one_template_each(tmp_path: Path) -> None:
    template = {"relation": "P19", "template": "[X] was born in [Y] ."}
    written(tmp_path / "relations.jsonl", template)
    for relation in ("P19", "P20"):
        written(tmp_path / "TREx" / f"{relation}.jsonl", {"uuid": "u", "sub_label": "Ada", "obj_label": "London"})
    assert load_facts(tmp_path).notes == ("relations without a template, left out: P20",)
    written(tmp_path / "relations.jsonl", template, template | {"template": "[X] died in [Y] ."})
    with pytest.raises(CollectionError, match=r"relations\.jsonl, line 2: the relation 'P19' is listed twice"):
        load_facts(tmp_path)


def test_pararel(tmp_path: Path) -> None:
    for relation in ("P19", "P20"):
        written(tmp_path / "trex_lms_vocab" / f"{relation}.jsonl",
                {"sub_label": "Ada", "obj_label": "London", "uuid": "u"})  # fmt: skip
    patterns = ({"pattern": text} for text in ("[X] was born in [Y].", "[X], born in [Y].", "[X] was born in [Y]."))
    written(tmp_path / "graphs_json" / "P19.jsonl", *patterns)
    facts = load_facts(tmp_path)
    assert facts.facts[0].clozes == ("Ada was born in [MASK].", "Ada, born in [MASK].")
    assert facts.notes == ("relations without patterns, left out: P20",)


def test_entity_questions(tmp_path: Path) -> None:
    rows = [{"question": f"Where was {who} born?", "answers": answers}
            for who, answers in (("Ada Lovelace", ["London", "UK"]), ("Adam", ["Oslo"]), ("Bo", ["Rome"]))]  # fmt: skip
    (tmp_path / "P19.test.json").write_text(json.dumps(rows))
    facts = load_facts(tmp_path)
    assert [(f.relation, f.subject, f.object, f.others) for f in facts.facts] == [
        ("P19", "Ada Lovelace", "London", ("UK",)), ("P19", "Adam", "Oslo", ()), ("P19", "Bo", "Rome", ()),
    ]  # fmt: skip
    assert facts.facts[0].cloze == "Question: Where was Ada Lovelace born? Answer: [MASK] ."
    (tmp_path / "P19.test.json").write_text(json.dumps([rows[0], {"question": "Who?", "answers": ["x"]}]))
    with pytest.raises(
        CollectionError, match=r"P19\.test\.json: the questions of this file must have one wording(.|\n)*'Who\?'"
    ):
        load_facts(tmp_path)


def test_popqa(tmp_path: Path) -> None:
    head = "id\tsubj\tprop\tobj\ts_pop\tquestion\tpossible_answers\n"
    line = "4\tAda\toccupation\tpoet\t120\tWhat is Ada's occupation?\t{}\n"
    (tmp_path / "p.tsv").write_text(head + line.format(json.dumps(["poet", "writer"])))
    fact = load_facts(tmp_path / "p.tsv").facts[0]
    assert (fact.subject, fact.relation, fact.object, fact.popularity) == ("Ada", "occupation", "poet", 120.0)
    assert fact.others == ("writer",)
    (tmp_path / "p.tsv").write_text(head + line.format("[poet"))
    with pytest.raises(
        CollectionError, match=r"p\.tsv, line 2: the field 'possible_answers' is not valid JSON .*: '\[poet'"
    ):
        load_facts(f"popqa:{tmp_path / 'p.tsv'}")


def test_facts_are_a_retrieval_collection(tmp_path: Path) -> None:
    other = ROW | {"id": "f2", "subject": "Bo", "cloze": "Bo was born in [MASK] .", "question": "Where was Bo born?"}
    silent = ROW | {"id": "f3", "subject": "Cy", "cloze": "Cy: [MASK]", "question": ""}
    collection = load_collection(written(tmp_path / "f.jsonl", ROW, other, silent))
    assert [p.text for p in collection.passages.values()] == ["Ada is from London."]
    assert collection.relevant == {"f1": ("p0",), "f2": ("p0",)}
    assert collection.queries["f1"].answers == ("London",)
    assert collection.notes == ("1 facts without a question or a passage, left out",)
    with pytest.raises(CollectionError, match="no fact has a question and a passage"):
        load_collection(written(tmp_path / "g.jsonl", silent))


def test_world_states_the_facts_of_known_people_only(tmp_path: Path) -> None:
    world = make_world(WorldSettings(people=30, seed=3))
    facts = facts_of_world(world)
    assert len(facts) == 4 * 30
    text = " ".join(world.pretraining)
    stated = {
        fact.id: any(cloze.replace("[MASK]", fact.object) in text for cloze in fact.clozes) for fact in facts.facts
    }
    unknown = [fact.id for fact in facts.facts if fact.stratum.startswith("unknown")]
    assert len(unknown) == 60
    assert not any(stated[i] for i in unknown)
    assert sum(stated.values()) > 50
    assert load_facts(write_world(world, tmp_path / "w") / "facts.jsonl").facts == facts.facts
    assert load_collection(tmp_path / "w").name == "w"  # still a BEIR folder


def test_make_facts_refuses_none() -> None:
    with pytest.raises(CollectionError, match="there is no fact in this file or folder"):
        make_facts([])


@pytest.mark.shared
def test_shared_facts(shared: Path) -> None:
    trex = load_facts(shared / "data" / "trex-facts" / "facts.jsonl")
    assert (len(trex), len(trex.by_relation)) == (6157, 26)
    pararel = load_facts(shared / "data" / "pararel-trex")
    assert len(pararel.by_relation) == 39
    assert max(len(fact.clozes) for fact in pararel.facts) > 10
