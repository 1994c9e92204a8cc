"""Result of the analysis of probes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from retroscope.errors import AnalysisError, demand_columns
from retroscope.probing.records import ProbeRecord
from retroscope.statistics import Difference
from retroscope.typesetting.frames import PLAIN, rows

SEED_COLUMNS = ("side", "probe", "control", "n_passages", "layer", "sd", "train_accuracy")
ROUNDING = 1e-6  # of a mean of float32 accuracies: where all vectors are one, every choice is worth 1/N but for this
LABELS = ["probe", "control", "passages", "layer"]


@dataclass(frozen=True, eq=False)
class ProbesResult:
    """Accuracy of every probe at every layer before and after fine-tuning, paired by query, with controls.

    Attributes:
        similarity: the retriever's own similarity, "cosine" or "dot": the name of the similarity probe.
        effect: effect of fine-tuning on accuracy over (probe, control, passages, layer). The tests of all layers and N
            of one probe under one control are corrected together (under the published protocol, all layers of one N).
            None if only code lengths were requested.
        bare: the same effect without controls and without the final norm, if the model has one and `effect` applies it
            to each layer.
        mdl: online code length in bits, over (control, passages, layer), if it was requested.
        seed_spread: standard deviation of the accuracy over seeds, and the mean accuracy on the training examples (NaN
            if nothing is fitted), in the columns `SEED_COLUMNS`.
        records: accuracy, interval, spread over seeds ... for each model, probe, control, N and layer, JSON-like.
        split_sizes: for each seed, how many probe examples each part of the split (e.g. the test part) has.
        independent_examples: N -> how many independent examples the test examples are worth with hash labels: fewer if
            they share candidates. Empty for a study that was measured before they were counted.
    """

    similarity: str
    effect: Difference | None
    bare: Difference | None = None
    mdl: Difference | None = None
    seed_spread: pd.DataFrame | None = None
    records: Sequence[ProbeRecord] = field(default_factory=tuple)
    split_sizes: Sequence[Mapping[str, int]] = field(default_factory=tuple)
    independent_examples: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed_spread is not None:
            demand_columns("seed_spread", self.seed_spread, SEED_COLUMNS, where="ProbesResult")

    @property
    def hardest(self) -> int:
        """Return the largest number of candidate passages N. The report gives the accuracies with this N.

        Raises:
            AnalysisError: if no probe was measured for both models.
        """
        cells = self.rows()
        if cells.empty:
            raise AnalysisError(
                "no probe was measured for both models with the same layer, number of passages and control",
                where="probes",
                fix="probe both models on the same queries with the same settings, or leave the probes out",
            )
        return int(cells["passages"].max())

    def rows(self, **labels: object) -> pd.DataFrame:
        """Return the effects of fine-tuning on accuracy, as a table of the rows that have these labels, e.g. layer=3.

        If no probe was measured, the table is empty.
        """
        return pd.DataFrame(columns=LABELS) if self.effect is None else rows(self.effect, **labels)

    def similarity_rows(self) -> pd.DataFrame:
        """Return how fine-tuning changed the similarity probe's accuracy: a row for each layer, without controls.

        The accuracies are those with the largest number of candidates N.
        """
        if self.effect is None:
            return self.rows()
        return self.rows(probe=self.similarity, control=PLAIN, passages=self.hardest)
