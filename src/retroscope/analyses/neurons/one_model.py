"""Neurons of a single model: caveats of its measurement, and attribution over a file of texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retroscope.analyses.analysis import Planned
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.neurons.attribute import as_measured
from retroscope.analyses.neurons.plan import planned
from retroscope.analyses.neurons.result import AttributedModel
from retroscope.analyses.neurons.settings import NeuronsSettings
from retroscope.analyses.neurons.stored import AttributedTowers, stored
from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import text_examples
from retroscope.attribution.plan import AttributionPlan, facts
from retroscope.attribution.settings import AttributionSettings
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.settings import PUBLISHED_PROTOCOL
from retroscope.errors import SettingsError
from retroscope.inputs.load import read_lines, retriever_of
from retroscope.inputs.settings import StudySettings
from retroscope.progress import Progress, Stages
from retroscope.typesetting.subject import MODEL


def caveats_of_one(plan: AttributionPlan, towers: AttributedTowers) -> list[str]:
    """Return the caveats of a single model's attribution: texts that may have been cut, and warnings."""
    return [*_cut_texts(plan), *_warnings(towers)]


def _cut_texts(plan: AttributionPlan) -> list[str]:
    rows = [row for example in plan.tokens for row in example]
    full = sum(len(row) >= plan.encoder.recipe.max_length for row in rows)
    many = f"{full} of {len(rows)} attributed texts fill the maximum of {plan.encoder.recipe.max_length} tokens"
    return [f"{many}, so their ends may be cut"] if full else []


def _warnings(towers: AttributedTowers) -> list[str]:
    return [warning for sides in towers.values() for side in sides.values() for warning in side.attribution.warnings]


@dataclass(frozen=True, eq=False)
class TextsPlan:
    """Planned attribution of one model's neurons over a file of texts. Without queries, there is no ablation.

    Attributes:
        retriever: the model, with the pooling, lengths and prompts that the protocol prescribes for neuron attribution.
        planned: the plan; its `work` is the attribution to run.
        source: path of the file.
        cache: folder in which progress is saved, so that a stopped attribution can continue.
    """

    retriever: Retriever
    planned: Planned
    source: str
    cache: Path

    def lines(self) -> list[str]:
        """Return the lines of the plan, as `--dry-run` prints them."""
        return list(self.planned.lines)

    def document(self) -> Mapping[str, Any]:
        """Return the plan as JSON-like values."""
        return self.planned.document

    def measure(self, progress: Progress | None = None) -> Measurement:
        """Attribute the neurons of the model over the texts and return the measurement."""
        work: AttributionPlan = self.planned.work
        tower = work.settings.scaled
        stages = Stages(f"{self.retriever.name}, {tower} tower", progress)
        attribution = attribute_neurons(work, self.cache, stages.inside("neurons"))
        stages.ended("neurons")
        towers = {tower: {MODEL: AttributedModel(self.retriever.name, attribution)}}
        caveats = (*_cut_texts(work), *_warnings(towers))
        return stored(towers, {}, plan=facts(work), caveats=caveats, seconds=stages.seconds)


def plan_texts(settings: StudySettings, file: Path, cache: Path) -> TextsPlan:
    """Load a model and a file with one text a line, and plan the attribution of the model's neurons over the texts.

    Raises:
        SettingsError: if the target needs queries, if no model is named, or if the settings switch off the analysis of
            neurons.
        CollectionError: if the file cannot be read.
    """
    neurons = settings.of("neurons", NeuronsSettings)
    if neurons is None:
        raise SettingsError(
            "the settings switch off the analysis of neurons, but this command has no other analysis",
            where="neurons: null",
            fix="remove `neurons: null` from the settings",
        )
    _check_target(neurons.attribution)
    texts = read_lines(file)
    retriever = retriever_of(settings.after)
    work = plan_on_texts(retriever, texts, neurons.attribution, settings.protocol)
    return TextsPlan(as_measured(retriever, settings.protocol), planned(work), str(file), cache)


def plan_on_texts(
    retriever: Retriever, texts: Sequence[str], settings: AttributionSettings, protocol: str = "default"
) -> AttributionPlan:
    """Plan the attribution of a retriever's neurons over texts without queries.

    The attributed quantity must be the norm of an embedding (target `norm`).

    Raises:
        SettingsError: for another target, which needs queries.
    """
    _check_target(settings)
    first_texts = texts[: settings.limit] if settings.limit else texts
    settings = replace(settings, agreement=None)  # a file of texts is read in its order, and to its end
    examples = text_examples([str(i) for i in range(len(first_texts))], first_texts)
    encoder = as_measured(retriever, protocol).tower(settings.scaled)
    return plan_attribution(encoder, examples, settings, padding_pooled=protocol == PUBLISHED_PROTOCOL)


def _check_target(settings: AttributionSettings) -> None:
    if settings.target != "norm":
        raise SettingsError(
            f"the target {settings.target!r} needs queries and passages, but --texts gives only single texts",
            fix="use --target norm, or give a collection (--data SPEC) instead of --texts",
        )
