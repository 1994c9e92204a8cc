"""Settings of editing facts, without heavy imports."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import SettingsError, unknown_name
from retroscope.ranges import AnyNumber, Fraction, OneOrMore, OpenFraction, Positive, Range, Seed, check_ranges

NEURONS = "knowledge-neurons"
EDITORS = {
    "rank-one": "one update of rank one for each subject, one after another (ROME, Meng et al. 2022)",
    "many": "one update for all subjects together (MEMIT, Meng et al. 2023, in one layer)",
    "fine-tuning": "the baseline: gradient steps on the same matrix, with a bound on each change (Zhu et al. 2020)",
    NEURONS: "can only remove facts: sets the FFN neurons that a fact needs, in all layers, to zero (Dai et al. 2022)",
}


@dataclass(frozen=True, kw_only=True)
class EditSettings:
    """Settings of an edit: the editor, the layer, and the optimisation.

    Attributes:
        editor: a name in `EDITORS`.
        layer: number of the layer, 1..L, whose FFN output matrix is changed. If None, the middle layer, or all layers
            for the editor "knowledge-neurons". A change in the last layer cannot reach the other tokens.
        contexts: number of contexts (beginnings of neutral texts) that are put before a cloze. The edit is computed
            from the prompts with all contexts and the prompt without a context.
        steps: the largest number of optimiser steps, for the value of a subject (the matrix's output at its last token)
            or for the fine-tuning.
        learning_rate: learning rate of these steps. For a value, it is relative to the length of the layer's state at
            the subject's last token; for the fine-tuning, it is relative to `bound`.
        longest: largest length of a value's change, relative to the length of the layer's state at the subject's last
            token.
        unlikely: the removal of a fact stops when the probability of its object is at most this.
        shrinkage: number that is added to the diagonal of the covariance, relative to the mean of the diagonal.
        ridge: weight of the covariance of the matrix's inputs over neutral text, relative to one edited subject (editor
            "many").
        bound: largest change of a weight by fine-tuning, relative to the standard deviation of the matrix.
        threshold: smallest attribution of a knowledge neuron, relative to the prompt's largest (editor
            "knowledge-neurons").
        shared: smallest share of a fact's prompts in which a knowledge neuron must have such an attribution.
        tokens: number of tokens of neutral text from which the covariance is estimated.
        seed: seed of the sample of neutral text.
    """

    editor: str = "many"
    layer: OneOrMore | None = None
    contexts: AnyNumber = 4
    steps: OneOrMore = 100
    learning_rate: Positive = 0.1
    longest: Positive = 1.5
    unlikely: OpenFraction = 0.001
    shrinkage: Positive = 0.01
    ridge: Positive = 100.0
    bound: Positive = 0.5
    threshold: OpenFraction = 0.2
    shared: Fraction = 0.7
    tokens: Annotated[int, Range(100, 10**8)] = 20_000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.editor not in EDITORS:
            raise unknown_name("editor", self.editor, EDITORS)
        if self.edits_all_layers and self.layer is not None:
            raise SettingsError(
                f"layer {self.layer} is given, but the editor {self.editor!r} edits all layers",
                where="edit.layer",
                fix="leave out the layer (--layer), or choose another editor (--editor)",
            )

    @property
    def edits_all_layers(self) -> bool:
        """Return whether the editor changes all layers: "knowledge-neurons", which can only remove facts."""
        return self.editor == NEURONS
