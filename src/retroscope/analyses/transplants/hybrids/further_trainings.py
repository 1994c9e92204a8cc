"""Plan and measure weight transplants between the backbone and other training runs of the retriever.

The transplants have one direction, the first of the settings. As in the first training, all weights and every single
place (block, group of blocks or part) are transplanted, on the same sample. Random changes are measured for the first
training alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from retroscope.analyses.context import Context
from retroscope.analyses.transplants.controls import single_places
from retroscope.analyses.transplants.hybrids.scores import TOWERS, Sweep, hybrid_scores, tokenised
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.encoders.encoder import Retriever
from retroscope.errors import EncoderError
from retroscope.inputs.pairing import recipe_differences, same_weights
from retroscope.scores import Scores
from retroscope.surgery.ownership import encodings
from retroscope.surgery.pairs import check_transplantable
from retroscope.typesetting.subject import BEFORE


@dataclass(frozen=True, eq=False)
class FurtherTrainings:
    """Other training runs of the retriever, and the transplants to measure for each.

    Attributes:
        measured: name -> training, for trainings whose weights can be exchanged with the backbone's.
        left_out: name -> reason, for all other trainings.
        names: names of the hybrids, "none" and "all" among them.
    """

    measured: Mapping[str, Retriever]
    left_out: Mapping[str, str]
    names: tuple[str, ...]

    def notes(self, backbone: Retriever) -> list[str]:
        """Return caveats on what was measured for the other training runs, and on why some are left out."""
        notes = [
            f"{name} (another training) is left out of the effects over trainings, because {reason}"
            for name, reason in self.left_out.items()
        ]
        if self.measured:
            notes.append(
                f"for the other trainings ({', '.join(self.measured)}), all weights and single blocks, groups or parts "
                "were transplanted, without random changes"
            )
        for name, training in self.measured.items():
            notes += [f"{name} (another training): {text}" for text in recipe_differences(backbone, training)]
        return notes


def further_trainings(context: Context, names: Sequence[str]) -> FurtherTrainings:
    """Return the other training runs that can exchange weights with the backbone, and why others cannot.

    On every collection but the first of a study, return none.

    Args:
        names: names of all transplants of the first training. Only those of a single block, group or part are used.
    """
    trainings, backbone = context.trainings if context.first else (), context.models[BEFORE]
    reasons = {training.name: refused_pair(backbone, training) for training in trainings}
    return FurtherTrainings(
        measured={training.name: training for training in trainings if not reasons[training.name]},
        left_out={name: reason for name, reason in reasons.items() if reason},
        names=("none", *single_places(names), "all"),
    )


def refused_pair(before: Retriever, after: Retriever) -> str:
    """Return the reason why two models cannot exchange weights (e.g. different architectures, equal weights), or ""."""
    try:
        for tower in TOWERS:
            check_transplantable(before.tower(tower), after.tower(tower))
    except EncoderError as error:
        return error.what
    if all(same_weights(before.tower(tower), after.tower(tower)) for tower in TOWERS):
        return f"{before.name} and {after.name} have the same weights: there is nothing to transplant"
    return ""


def further_seconds(
    context: Context, further: FurtherTrainings, sizes: Mapping[str, int], search: float, settings: SweepSettings
) -> float:
    """Estimate the seconds of encoding and searching with the hybrids of all other training runs.

    Args:
        sizes: tower -> number of its texts in the sample.
        search: seconds that one search of the sample takes.
    """
    seconds = 0.0
    for model in further.measured.values():
        runs = encodings(model.passage.anatomy, [(0, name) for name in further.names])
        seconds += len(further.names) * search
        seconds += sum(n * runs * context.seconds_each(model, tower, settings.precision) for tower, n in sizes.items())
    return seconds


def further_scores(sweep: Sweep, further: FurtherTrainings) -> dict[str, tuple[Scores, Scores]]:
    """Return name of each other training run -> retrieval scores of the receiving model, and of its hybrids.

    Args:
        sweep: the transplants of the first training. Their backbone, sample and first direction are used.
    """
    direction = sweep.settings.directions[0]
    settings = replace(sweep.settings, directions=(direction,))
    scores = {}
    for name, training in further.measured.items():
        pair = (sweep.pair[0], training)
        own = replace(sweep, pair=pair, names=further.names, settings=settings, stage=f"transplants of {name}")
        scores[name] = hybrid_scores(tokenised(own))[direction]
    return scores
