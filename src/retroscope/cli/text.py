"""Documents of `retrieve` and `probe` as text for a terminal."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


def retrieval_text(document: Document) -> str:
    """One line a measure, with its interval."""
    rows = [
        f"{name:<12}{m['mean']:.4f}  [{m['ci_low']:.4f}, {m['ci_high']:.4f}]"
        for name, m in document["measures"].items()
    ]
    queries = next(iter(document["measures"].values()))["n"]
    head = f"{document['model']['name']} on {document['collection']['name']}, {queries:,} queries"
    return "\n".join([head, *rows, *_caveats(document)])


def probe_text(document: Document) -> str:
    """One block an N: a line a probe and control, a column a layer."""
    records = document["records"]
    blocks = [f"{document['model']['name']} on {document['collection']['name']}: accuracy by layer"]
    for n in dict.fromkeys(record["n_passages"] for record in records):
        blocks.append(_block(n, [record for record in records if record["n_passages"] == n]))
    return "\n".join([*blocks, *_caveats(document)])


def _block(n: int, records: list[Document]) -> str:
    layers = sorted({record["layer"] for record in records})
    lines = [f"\nN = {n} (chance {1 / n:.3f})", f"{'probe':<16}{'control':<18}" + "".join(f"{k:>7}" for k in layers)]
    for probe, control in dict.fromkeys((record["probe"], record["control"]) for record in records):
        mine = {r["layer"]: r["accuracy"] for r in records if (r["probe"], r["control"]) == (probe, control)}
        lines.append(f"{probe:<16}{control:<18}" + "".join(f"{mine[k]:>7.3f}" for k in layers))
    return "\n".join(lines)


def _caveats(document: Document) -> list[str]:
    return [f"caveat: {caveat}" for caveat in (*document["caveats"], *document.get("warnings", ()))]
