"""Study: the result of a comparison, in memory and as a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from retroscope.analyses.baselines.summary import BASELINE_SCORES, baseline_findings
from retroscope.analyses.localisation.infer import make_story
from retroscope.analyses.localisation.result import StoryFindings
from retroscope.analyses.neurons.result import NeuronFindings
from retroscope.analyses.neurons.sides import Neurons, heat_map, load_neurons, save_neurons
from retroscope.analyses.representations.measure import load_moved, save_moved
from retroscope.analyses.representations.result import BareLayers, ElsewhereFindings, MovedFindings
from retroscope.analyses.trainings.summary import TRAINING_SCORES, training_findings
from retroscope.analyses.transplants.infer import HYBRIDS, RANDOM_CHANGES, SUBSETS, found_in_study
from retroscope.analyses.transplants.result import TransplantFindings
from retroscope.analyses.transplants.settings import DIRECTIONS
from retroscope.documents import as_json, read_document, write_text
from retroscope.errors import AnalysisError
from retroscope.retrieval.runs import Run, write_run
from retroscope.scores import Scores, load_scores
from retroscope.statistics.comparison import compare_scores
from retroscope.statistics.difference import Difference
from retroscope.study.facts import model_of, seed_spread, top_passages
from retroscope.study.findings import Findings
from retroscope.study.folder import (
    BARE_MOVED,
    FACTS,
    MOVED,
    NEURONS,
    QUERY_NEURONS,
    SCORES,
    SEEDS,
    SETTINGS,
    replaced,
    save_scores,
)
from retroscope.study.measure import BARE_LAYERS, BARE_PROBING
from retroscope.study.settings import StudySettings, from_plain, from_yaml, plain, to_yaml
from retroscope.study.written_report import write_report
from retroscope.typesetting.subject import CollectionFacts

ELSEWHERE = "elsewhere"
ANALYSES = ("retrieval", "layers", "probing", "mdl", "whitened", ELSEWHERE, BARE_LAYERS, BARE_PROBING)
SIDES = ("before", "after")


@dataclass(frozen=True, eq=False)
class Study:
    """Two retrievers measured the same way, and what differs.

    Attributes:
        facts: JSON-like: models, collection, caveats, versions, timings, examples.
        settings: of the study.
        scores: "before/retrieval", "after/probing" ... -> Scores, the query first.
        seeds: accuracy by seed: side, probe, control, n_passages, layer, seed, accuracy, train_accuracy.
        runs: "before" and "after" -> ranking; empty in a study that was loaded from its folder.
        neurons: of both sides; None where they were left out.
        query_neurons: of the query tower, where both towers were attributed; `neurons` are then the passage tower's.
        moved: weights and representations, compared; None where they were left out.
        elsewhere: representations of a second collection; None where there is none.
        bare_moved: representations of layers without the final norm, compared; None where `moved` is of these.
    """

    facts: Mapping[str, Any]
    settings: StudySettings
    scores: Mapping[str, Scores]
    seeds: pd.DataFrame | None = None
    runs: Mapping[str, Run] = field(default_factory=dict)
    neurons: Neurons | None = None
    query_neurons: Neurons | None = None
    moved: MovedFindings | None = None
    elsewhere: MovedFindings | None = None
    bare_moved: MovedFindings | None = None

    @cached_property
    def retrieval(self) -> Difference:
        """The effect on every measure; the headline is a family of its own, the other measures are another."""
        difference = self._compared("retrieval", headline=True)
        if difference is None:
            raise AnalysisError("the study holds no retrieval scores", fix="run compare again")
        return difference

    @cached_property
    def layers(self) -> Difference | None:
        """The effect on every measure at every layer; the layers of a measure are a family."""
        return self._compared("layers", "measure")

    @cached_property
    def probing(self) -> Difference | None:
        """The effect on every probe at every layer; the layers and N of a probe under a control are a family
        (as published: the layers alone).
        """
        families = ("probe", "control", "passages") if self.settings.protocol == "ielab-2025" else ("probe", "control")
        return self._probes("probing", *families)

    @cached_property
    def bare(self) -> BareLayers | None:
        """The effects by layer without the final norm on each; None where the layers are read so anyway."""
        found = (self._compared(BARE_LAYERS, "measure"), self._probes(BARE_PROBING, "probe", "control"))
        return BareLayers(*found, self.bare_moved) if any((*found, self.bare_moved)) else None

    @cached_property
    def mdl(self) -> Difference | None:
        """The effect on the online code length; the layers and N under a control are a family, as no claim is made
        of a control.
        """
        return self._compared("mdl", "control")

    @cached_property
    def whitened(self) -> Difference | None:
        """The effect on every measure with the whitened vectors of both."""
        return self._compared("whitened", headline=True)

    @cached_property
    def neuron_profile(self) -> Difference | None:
        """The effect on every statistic of the neurons; the parts and layers of a statistic are a family."""
        return self._profile(self.neurons)

    @cached_property
    def query_neuron_profile(self) -> Difference | None:
        """The same of the query tower."""
        return self._profile(self.query_neurons)

    def _profile(self, neurons: Neurons | None) -> Difference | None:
        if neurons is None:
            return None
        before, after = (neurons.sides[side].scores for side in SIDES)
        # the margin of equivalence is one of retrieval measures and accuracies
        settings = replace(self.settings.paired_statistics, family_per=("statistic",), margin=None)
        return compare_scores(before, after, settings)

    @cached_property
    def transplants(self) -> TransplantFindings | None:
        """Retrieval with hybrids of the two; those of a direction and measure are a family."""
        if self.settings.transplants is None:
            return None
        return found_in_study(self.scores, self.facts, self.n_blocks, self.settings.paired_statistics)

    @property
    def n_blocks(self) -> int:
        """Of both models."""
        return n_blocks(self.facts)

    def _compared(self, analysis: str, *family_per: str, headline: bool = False) -> Difference | None:
        before, after = (self.scores.get(f"{side}/{analysis}") for side in SIDES)
        if before is None or after is None:
            return None
        declared = ("measure", self.settings.retrieval.measures[0]) if headline else None
        chosen = replace(self.settings.paired_statistics, family_per=family_per, headline=declared)
        return compare_scores(before, after, chosen)

    def _probes(self, analysis: str, *family_per: str) -> Difference | None:
        """The effect on probes, which alone are tested as published where the protocol says so."""
        before, after = (self.scores.get(f"{side}/{analysis}") for side in SIDES)
        if before is None or after is None:
            return None
        return compare_scores(before, after, replace(self.settings.statistics, family_per=family_per))

    def save(self, folder: Path) -> None:
        """Write what `load_study` reads; `study.json` last, so that its presence means a finished study."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).unlink(missing_ok=True)
        save_scores(self.scores, folder / SCORES)
        for name, neurons in ((NEURONS, self.neurons), (QUERY_NEURONS, self.query_neurons)):
            replaced(folder / name, neurons, save_neurons)
        for name, moved in ((MOVED, self.moved), (ELSEWHERE, self.elsewhere), (BARE_MOVED, self.bare_moved)):
            replaced(folder / name, moved, save_moved)
        (folder / SEEDS).unlink(missing_ok=True)
        if self.seeds is not None:
            self.seeds.to_parquet(folder / SEEDS, index=False)
        for side, run in self.runs.items():
            write_run(run, folder / "runs" / f"{side}.run", tag=self.facts[side]["name"])
        write_text(folder / SETTINGS, to_yaml(self.settings))
        write_text(folder / FACTS, as_json(self.facts))

    def report(self, folder: str | Path) -> Path:
        """Write everything below `folder` (scores, runs, tables, figures, report.html) and return the report's path."""
        target = Path(folder)
        self.save(target)
        return write_report(self.findings(), target)

    def findings(self) -> Findings:
        """What the report says."""
        return replace(self._measured, story=self.story)

    @cached_property
    def story(self) -> StoryFindings | None:
        """What the instruments say of the same blocks, held against the transplants."""
        return make_story(self._measured, self.settings.paired_statistics)

    @cached_property
    def _measured(self) -> Findings:
        """The findings, without their story."""
        facts = self.facts
        measures = self.settings.retrieval.measures
        return Findings(
            title=facts["title"],
            protocol=self.settings.protocol,
            before=model_of(facts["before"]),
            after=model_of(facts["after"]),
            collection=CollectionFacts(**facts["collection"]),
            retrieval=self.retrieval,
            primary_measure=measures[0],
            flip_measure=facts["flip_measure"],
            layer_retrieval=self.layers,
            probing=self.probing,
            neurons=self._neuron_findings(self.neurons, self.neuron_profile),
            query_neurons=self._neuron_findings(self.query_neurons, self.query_neuron_profile),
            moved=self.moved,
            whitened=self.whitened,
            elsewhere=self._elsewhere(),
            bare=self.bare,
            transplants=self.transplants,
            trainings=training_findings(self.scores, measures[0], self.settings.paired_statistics),
            baselines=baseline_findings(self.scores, facts, self.settings.paired_statistics),
            seed_spread=seed_spread(self.seeds),
            query_texts=facts["query_texts"],
            top_passages={q: top_passages(sides) for q, sides in facts["top_passages"].items()},
            caveats=tuple(facts["caveats"]),
            command=facts["command"],
            settings=plain(self.settings),
            versions=facts["versions"],
            timings=facts["timings"],
        )

    def _elsewhere(self) -> ElsewhereFindings | None:
        retrieval = self._compared(ELSEWHERE, headline=True)
        if retrieval is None or self.elsewhere is None:
            return None
        return ElsewhereFindings(self.facts[ELSEWHERE], retrieval, self.elsewhere)

    def _neuron_findings(self, neurons: Neurons | None, profile: Difference | None) -> NeuronFindings | None:
        if neurons is None:
            return None
        layout = heat_map(self.settings.protocol, neurons.sides[SIDES[0]])
        tower = "" if self.query_neurons is None else str(neurons.sides[SIDES[0]].recipe["tower"])
        return NeuronFindings(neurons.sides, profile, neurons.agreement, layout, tower)


def load_study(folder: str | Path) -> Study:
    """The study that `Study.save` wrote to `folder`."""
    home = Path(folder)
    if not (home / FACTS).exists():
        raise AnalysisError("there is no finished study here", where=str(home), fix="run retroscope compare --out DIR")
    facts = read_document(home / FACTS)
    settings = from_plain(from_yaml(home / SETTINGS), where=str(home / SETTINGS))
    names = [f"{side}/{analysis}" for side in SIDES for analysis in ANALYSES]
    hybrids = [f"{direction}/{name}" for direction in DIRECTIONS for name in (*HYBRIDS, RANDOM_CHANGES, SUBSETS)]
    names += [*hybrids, *BASELINE_SCORES, *TRAINING_SCORES]
    scores = {n: load_scores(home / SCORES, n) for n in names if (home / SCORES / n).exists()}
    seeds = pd.read_parquet(home / SEEDS) if (home / SEEDS).exists() else None
    models = {side: facts[side]["name"] for side in SIDES}
    if not any(name in scores for name in hybrids):
        settings = replace(settings, transplants=None)  # an older study, which knew none
    neurons, of_queries = (load_neurons(models, home / name) for name in (NEURONS, QUERY_NEURONS))
    moved, elsewhere, bare = (load_moved(n_blocks(facts), home / name) for name in (MOVED, ELSEWHERE, BARE_MOVED))
    return Study(
        facts,
        settings,
        scores,
        seeds,
        neurons=neurons,
        query_neurons=of_queries,
        moved=moved,
        elsewhere=elsewhere,
        bare_moved=bare,
    )


def n_blocks(facts: Mapping[str, Any]) -> int:
    """Of the models of a study."""
    return len(facts["after"]["towers"][0]["layer_names"]) - 1
