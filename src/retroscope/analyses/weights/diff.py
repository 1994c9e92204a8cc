"""What `retroscope diff` does: two checkpoints in, findings about their weights out."""

from pathlib import Path
from typing import Any

from retroscope.analyses.weights.result import WeightFindings
from retroscope.analyses.weights.words import weight_statements
from retroscope.documents import SCHEMA, clean
from retroscope.drift.weights import DIRECTIONS, diff_weights
from retroscope.encoders.checkpoints.tensors import open_weights
from retroscope.errors import SettingsError
from retroscope.inputs.provenance import command_line, software
from retroscope.progress import Count

Record = dict[str, Any]


def diff(
    before: str | Path,
    after: str | Path,
    *,
    base: str | None = None,
    spectra: bool = True,
    directions: int = DIRECTIONS,
    progress: Count | None = None,
) -> WeightFindings:
    """What moved in the weights from one checkpoint to another; no data, no forward pass.

    Args:
        before: the backbone: a folder (transformers, sentence-transformers, DPR, PEFT), a GGUF file or a hub name.
        after: what was fine-tuned from it.
        base: of an adapter, where the base that it names is not to be followed.
        spectra: ranks and directions of every changed matrix, the slow part.
        directions: how many of a change's first directions amplification and alignment are measured in.
        progress: told (tensors done, of).

    Raises:
        EncoderError: for two architectures, or a checkpoint that lacks tensors.
    """
    if directions < 1:
        raise SettingsError(f"directions is {directions}", fix="give 1 or more")
    one, two = open_weights(before), open_weights(after, base)
    found = diff_weights(one, two, spectra=spectra, directions=directions, progress=progress)
    names = [Path(str(source)).name or str(source) for source in (before, after)]
    if names[0] == names[1]:
        names = [f"{names[0]} (before)", f"{names[1]} (after)"]
    return WeightFindings(
        names[0], names[1], one.anatomy.n_blocks, found.tensors, found.groups, found.notes, command_line(), software()
    )


def diff_document(f: WeightFindings) -> Record:
    """What `diff --json` says."""
    made: Record = clean(
        {
            "schema": SCHEMA,
            "title": f.title,
            "verdict": [s.text for s in weight_statements(f)],
            "caveats": list(f.notes),
            "statuses": {str(k): int(n) for k, n in f.tensors["status"].value_counts().items()},
            "groups": f.groups.to_dict(orient="records"),
            "tensors": f.tensors.to_dict(orient="records"),
            "versions": dict(f.versions),
            "command": f.command,
        }
    )
    return made
