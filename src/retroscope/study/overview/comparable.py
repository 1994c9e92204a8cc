"""Find the results of several studies that can be compared: equal collection, protocol and test.

Numbers on different queries, passages or judgments, or from different tests, are never in one table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from retroscope.inputs.settings_files import plain
from retroscope.scores import Scores
from retroscope.statistics import Difference
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.settings import ComparisonSettings
from retroscope.statistics.testing.correction import correct
from retroscope.study.overview.members import NamedStudy, identity
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import state_of
from retroscope.typesetting.subject import AFTER, BEFORE

OWN = "its own backbone"  # the baseline that every study has
MEASURE = "measure"
TESTED_BY = ("test", "correction", "level", "margin")  # fields of the statistics that decide what is significant
FLIPPED = {BEFORE: AFTER, AFTER: BEFORE}
COLUMNS = ("baseline", "model", MEASURE, BEFORE, AFTER, "effect", "ci_low", "ci_high", "p_corrected", "n", "state")


@dataclass(frozen=True, eq=False)
class Comparable:
    """A group of studies whose results on one collection may be compared, and their effects.

    Attributes:
        collection: name of the collection.
        rules: name of a property that all studies of the group share, e.g. "protocol" -> its value. Other groups on
            this collection have another value of at least one property.
        members: the studies of the group.
        effects: rows with the columns `COLUMNS`: every retriever against its own backbone, as its study tests it, and
            against every other retriever, with p corrected over all pairs of retrievers.
        number: how many earlier groups there are on this collection.
    """

    collection: str
    rules: Mapping[str, Any]
    members: tuple[NamedStudy, ...]
    effects: pd.DataFrame
    number: int = 0

    @property
    def heading(self) -> str:
        """Return the name of the collection. A second group on the same collection also names its studies."""
        return self.collection if not self.number else f"{self.collection}, {', '.join(m.name for m in self.members)}"

    @property
    def measures(self) -> list[str]:
        """Return the distinct measures of all studies, in the order of the studies."""
        return list(dict.fromkeys(self.effects[MEASURE]))

    @property
    def headline(self) -> str:
        """Return the measure to show first: the first measure of the first study, unless it has no effects.

        Then it is the first measure that has effects.
        """
        wanted = self.members[0].study.subject.measures[0]
        return wanted if wanted in self.measures else self.measures[0]

    def against(self, baseline: str, measure: str) -> pd.DataFrame:
        """Return the effects on one measure against one baseline, a row for each model."""
        return self.effects[(self.effects["baseline"] == baseline) & (self.effects[MEASURE] == measure)]

    def differs_from(self, other: "Comparable") -> list[str]:
        """Return a line for each property in `rules` that differs between two groups, with both values."""
        return [f"{name}: {_shown(self.rules[name])} here, {_shown(other.rules[name])} there"
                for name in self.rules if self.rules[name] != other.rules[name]]  # fmt: skip


def _shown(value: object) -> str:
    return str(value)[:16] if isinstance(value, str) else "not stated" if value is None else str(value)


def comparables(members: Sequence[NamedStudy]) -> tuple[Comparable, ...]:
    """Group the studies whose results on a collection can be compared, e.g. by protocol and test.

    The groups are in the order of the studies.
    """
    groups: dict[str, tuple[str, dict[str, Any], list[tuple[NamedStudy, Difference]]]] = {}
    for member in members:
        for section in member.study.report_contents.sections.values():
            for collection, difference in section.compared.items():
                rules = _rules(member, collection, difference)
                groups.setdefault(repr((collection, rules)), (collection, rules, []))[2].append((member, difference))
    comparable = [_comparable(*group) for group in groups.values()]
    known = [group for group in comparable if len(group.effects)]
    collections = [group.collection for group in known]
    return tuple(replace(group, number=collections[:n].count(group.collection)) for n, group in enumerate(known))


def _rules(member: NamedStudy, collection: str, difference: Difference) -> dict[str, Any]:
    subject = member.study.subject
    facts = next(record for record in subject.collections if record.name == collection)
    statistics = {name: value for name, value in plain(subject.paired_statistics).items() if name in TESTED_BY}
    return {
        "content of the collection": facts.fingerprint or facts.source,
        "protocol": subject.protocol,
        "passages with the query's id are dropped": difference.after.recipe.get("ignore_identical_ids"),
        **statistics,
    }


def _comparable(
    collection: str, rules: Mapping[str, Any], measured: Sequence[tuple[NamedStudy, Difference]]
) -> Comparable:
    own = [_effects(rows(difference), difference, OWN, member.name) for member, difference in measured]
    members = tuple(member for member, _ in measured)
    parts = [table for table in [*own, *_pairs(measured)] if len(table)]
    effects = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return Comparable(collection, rules, members, effects)


def _effects(table: pd.DataFrame, difference: Difference, baseline: str, model: str) -> pd.DataFrame:
    """Return the rows of a difference, with the columns baseline, model and state (e.g. significant) added."""
    states = [str(state_of(difference, row)) for _, row in table.iterrows()]
    return table.assign(baseline=baseline, model=model, state=states)[list(COLUMNS)]


def _pairs(measured: Sequence[tuple[NamedStudy, Difference]]) -> list[pd.DataFrame]:
    """Compare every pair of retrievers in both directions. A model that occurs twice is compared once."""
    distinct: dict[Any, tuple[NamedStudy, Scores]] = {}
    for member, difference in measured:
        distinct.setdefault(identity(member.model(AFTER)), (member, difference.after))
    models = list(distinct.values())
    settings = replace(measured[0][0].study.subject.paired_statistics, family_per=(MEASURE,), correction="none")
    compared = [
        (former.name, latter.name, compare_scores(*_shared(first, second), settings))
        for n, (former, first) in enumerate(models)
        for latter, second in models[n + 1 :]
    ]
    tables = [rows(difference).assign(pair=n) for n, (_, _, difference) in enumerate(compared)]
    if not tables:
        return []
    whole = _corrected(pd.concat(tables, ignore_index=True), measured[0][0].study.subject.paired_statistics)
    effects = []
    for n, (one_name, other_name, difference) in enumerate(compared):
        forth = _effects(whole[whole["pair"] == n], difference, one_name, other_name)
        effects += [forth, _reversed(forth)]
    return effects


def _shared(one: Scores, other: Scores) -> tuple[Scores, Scores]:
    """Return both scores, restricted to the measures that both have."""
    common = [name for name in one.values[MEASURE].values if name in set(other.values[MEASURE].values)]
    return tuple(replace(scores, values=scores.values.sel({MEASURE: common})) for scores in (one, other))  # type: ignore[return-value]


def _corrected(table: pd.DataFrame, settings: ComparisonSettings) -> pd.DataFrame:
    """Correct the p-values (also of equivalence), for each measure separately, over all pairs of retrievers."""
    name = "holm" if settings.correction == "max_t" else settings.correction  # which needs the queries of all pairs
    parts = []
    for _, part in table.groupby(MEASURE, sort=False):
        unused = np.empty((0, len(part)))
        p, equivalence = (
            correct(name, part[column].to_numpy(dtype=np.float64), unused, settings.flips)
            for column in ("p", "p_equivalence")
        )
        with np.errstate(invalid="ignore"):
            alike = equivalence <= 1 - settings.level
        parts.append(part.assign(p_corrected=p, p_equivalence_corrected=equivalence, equivalent=alike))
    return pd.concat(parts, ignore_index=True)


def _reversed(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the effects of a pair in the opposite direction: baseline and model are swapped, and before and after."""
    return effects.rename(columns=FLIPPED).assign(
        baseline=effects["model"],
        model=effects["baseline"],
        effect=-effects["effect"],
        ci_low=-effects["ci_high"],
        ci_high=-effects["ci_low"],
    )[list(COLUMNS)]
