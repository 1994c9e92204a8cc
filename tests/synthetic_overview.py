"""A made-up overview: three retrievers of one backbone, and one whose effects are tested with another margin."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from retroscope.study.overview.members import NamedStudy
from retroscope.study.overview.overview import Overview
from retroscope.study.overview.page import overview_of
from retroscope.study.reporting.report import Report
from retroscope.study.study import Study
from retroscope.typesetting.subject import Model, Subject
from synthetic_report import report_of
from synthetic_retrieval import retrieval_result, retrieval_scores
from synthetic_subject import STATISTICS, compare, model, subject, tower


@dataclass(frozen=True, eq=False)
class MadeUp:
    """What an overview reads of a study."""

    subject: Subject
    gain: float

    @cached_property
    def report_contents(self) -> Report:
        effect = compare(*retrieval_scores(self.gain), self.subject.statistics.margin)
        return report_of(self.subject, retrieval=retrieval_result(effect=effect))

    @property
    def facts(self) -> dict[str, Any]:
        return {"title": self.subject.title}

    @property
    def settings(self) -> dict[str, Any]:
        return {}


def of_weights(name: str, fingerprint: str) -> Model:
    """Return a model with a fingerprint of its own."""
    return model(name, towers=(replace(tower("query and passage"), fingerprint=fingerprint * 16),))


def made_up_overview(folder: Path, name: str = "checkpoint", backbone: str = "toy-backbone") -> Overview:
    """Return the overview of studies below a folder; the first has a page there, the others none."""
    margins = {"one": 0.01, "two": 0.01, "three": 0.01, "other": 0.2}
    members = []
    for number, (end, margin) in enumerate(margins.items()):
        models = {"before": of_weights(backbone, "ab12"), "after": of_weights(f"{name} {end}", f"00{number}f")}
        about = subject(models=models, statistics=replace(STATISTICS, margin=margin), title=f"{name} {end}")
        study = cast(Study, MadeUp(about, 0.1 * number))
        members.append(NamedStudy(f"{name} {end}", folder / end, study))
    (folder / "one").mkdir(parents=True, exist_ok=True)
    (folder / "one" / "report.html").write_text("<title>one</title>", "utf-8")
    return overview_of(members)
