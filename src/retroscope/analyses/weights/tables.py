"""Tables of the changes of weights from backbone to retriever."""

import pandas as pd

from retroscope.analyses.weights.words import PART_NAMES
from retroscope.drift.result import CHANGED, WeightDrift
from retroscope.number_format import percent
from retroscope.typesetting.latex import PaperTable

MOST = 12  # matrices in the table of those that changed most


def weight_tables(drift: WeightDrift, tower: str = "") -> dict[str, PaperTable]:
    """Return tables of the weight change by layer and part, and of the matrices that changed most."""
    tables, end, where = {}, f"_{tower}" if tower else "", f", {tower} tower" if tower else ""
    if not drift.groups.empty:
        wide = drift.groups.pivot_table(index="layer", columns="part", values="relative", sort=False).sort_index()
        wide = wide[[part for part in PART_NAMES if part in wide.columns]].rename(columns=PART_NAMES)
        printed = wide.map(lambda v: "" if pd.isna(v) else percent(v)).reset_index().astype(str)
        caption = (
            "Norm of the weight change, divided by the norm before, by layer and part: "
            f"{drift.before} to {drift.after}{where}"
        )
        note = "Frobenius norms. The norm before is that of the weights before fine-tuning."
        tables[f"weights{end}"] = PaperTable(printed, caption, note, tuple(printed.columns))
    changed = (
        drift.tensors[(drift.tensors["status"] == CHANGED) & (drift.tensors["columns"] > 1)]
        .sort_values("relative", ascending=False)
        .head(MOST)
    )
    if len(changed):
        tables[f"changed_matrices{end}"] = PaperTable(*_most(changed))
    return tables


def _most(changed: pd.DataFrame) -> tuple[pd.DataFrame, str, str, tuple[str, ...]]:
    ranks = {
        "stable_rank": "stable rank",
        "effective_rank": "effective rank",
        "alignment": "alignment",
        "intruders": "intruders",
        "intruders_random": "by chance",
    }
    numbers = {
        title: ["" if pd.isna(v) else f"{v:.3g}" for v in changed[name]]
        for name, title in ranks.items()
        if name in changed
    }
    frame = pd.DataFrame(
        {
            "tensor": changed["name"],
            "shape": [
                f"{r} x {c}" if c > 1 else f"{r}" for r, c in zip(changed["rows"], changed["columns"], strict=True)
            ],
            "change": [percent(v) for v in changed["relative"]],
            **numbers,
        }
    )
    note = (
        "Change: Frobenius norm of the change, divided by the norm of the matrix before. Stable rank: squared "
        "Frobenius norm of the change, divided by its squared largest singular value. Effective rank: exponential of "
        "the entropy of the normalised singular values of the change. Alignment: norm of the original matrix in the "
        "first singular directions of its change, divided by its norm in random directions. Intruders: number of the "
        "largest singular vectors after fine-tuning that resemble no singular vector before it. By chance: number of "
        "intruders after a random change of equal size."
    )
    return frame, f"The {len(frame)} matrices that changed most, relative to their norm", note, ("change", *numbers)
