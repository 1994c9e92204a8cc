"""What a study makes once: tokens, copies with random weights, the verdict; and what a stopped one makes again."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from retroscope.analyses import analyses, context
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.settings import StudySettings
from retroscope.representations import represent
from retroscope.study import report
from retroscope.study.plan import StudyPlan, plan_study
from retroscope.study.run import KEPT, Outcome, forget, run
from retroscope.study.study import Study
from tiny_study import QUICK

VECTORS = replace(QUICK, analyses={**QUICK.analyses, **dict.fromkeys(("neurons", "transplants", "baselines"))})


@pytest.fixture
def planned(
    backbone: Retriever, retriever: Retriever, collection: Collection, tmp_path: Path
) -> Callable[[StudySettings], StudyPlan]:
    """Plan a study of the pair in a cache of its own."""
    models = {"before": backbone, "after": retriever}
    return lambda settings: plan_study(models, [collection], settings, cache=tmp_path / "cache")


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[tuple[Any, ...]]:
    """Return the arguments of every call of a function from now on."""
    calls: list[tuple[Any, ...]] = []
    whole = getattr(owner, name)

    def counting(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return whole(*given, **named)

    monkeypatch.setattr(owner, name, counting)
    return calls


def times_each_text(calls: list[tuple[Any, ...]], collection: Collection) -> Counter[str]:
    """Return how often every text of the collection was tokenised."""
    own = {collection.passage_text(passage) for passage in collection.passages}
    own |= {query.text for query in collection.queries.values()}
    texts = (text for _, given, *_ in calls for text in ([given] if isinstance(given, str) else given))
    return Counter(text for text in texts if text in own)


def test_a_plan_tokenises_each_text_once_a_recipe(
    planned: Callable[[StudySettings], StudyPlan], collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backbone, retriever and their copies with random weights have one tokenizer and one recipe."""
    calls = counted(monkeypatch, PreTrainedTokenizerBase, "__call__")
    plan = planned(VECTORS)
    plan.document()
    plan.lines()
    found = times_each_text(calls, collection)
    assert len(found) == len(collection.passages) + len({query.text for query in collection.queries.values()})
    print("plan", Counter(found.values()))
    calls.clear()
    run(plan)
    found = times_each_text(calls, collection)
    print("run", Counter(found.values()))
    assert 0
