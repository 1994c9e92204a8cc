"""Settings of editing facts. Light to import."""

from dataclasses import dataclass
from typing import Annotated

from retroscope.errors import unknown_name
from retroscope.ranges import AnyNumber, OneOrMore, OpenFraction, Positive, Range, Seed, check_ranges

EDITORS = {
    "rank-one": "one update of rank one a subject, one after another (ROME, Meng et al. 2022)",
    "many": "one update for all subjects together (MEMIT, Meng et al. 2023, in one layer)",
    "fine-tuning": "gradient steps on the same matrix, each weight within a bound (Zhu et al. 2020): the baseline",
}


@dataclass(frozen=True, kw_only=True)
class EditSettings:
    """Settings of an edit: the editor, the layer, and the optimisation.

    Attributes:
        editor: a name in `EDITORS`.
        layer: number of the layer, 1..L, whose FFN output matrix is changed; None: the middle one. The last layer
            cannot pass the value on.
        contexts: beginnings of neutral texts before a cloze, in which the key is averaged and the value found as well.
        steps: optimiser steps, at most, for the value of a subject, or of the fine-tuning.
        learning_rate: of these steps, as a part of the length of the layer's state at the subject; of the fine-tuning,
            as a part of `bound`.
        longest: length of the change of a value, at most, as a multiple of that state's.
        unlikely: probability of an object at which the steps of a removal end.
        shrinkage: what is added to the diagonal of the covariance, as a part of its mean.
        ridge: weight of the covariance of neutral text against the facts (editor "many"), in subjects.
        bound: largest change of a weight by fine-tuning, as a part of the standard deviation of the matrix.
        tokens: tokens of neutral text that the covariance is estimated from.
        seed: seed of the sample of text.
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
    tokens: Annotated[int, Range(100, 10**8)] = 20_000
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.editor not in EDITORS:
            raise unknown_name("editor", self.editor, EDITORS)
