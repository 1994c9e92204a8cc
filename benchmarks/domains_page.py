"""Tables and figure of docs/studies/domains.md from its committed results, and the relation of shift to retrieval."""

import re
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from scipy import stats

from retroscope.statistics import SignFlips, correct

HOME = Path(__file__).resolve().parents[1] / "docs/studies"
DATA, PAGE, FIGURE = Path("data/domains"), "domains.md", "domains.svg"
HEADLINE, SHUFFLES, LEVEL = "nDCG@10", 10_000, 0.95
PAIRS = {"sre": "SRE", "scifact": "SciFact", "squad": "SQuAD"}
NAMES = {
    "nq": "NQ", "scifact": "SciFact", "pubmedqa": "PubMedQA", "policyqa": "PolicyQA", "squad": "SQuAD",
    "xquad-en": "XQuAD en", "xquad-de": "XQuAD de", "xquad-zh": "XQuAD zh", "xquad-ar": "XQuAD ar",
}  # fmt: skip
STATISTICS = {
    "words": "divergence of words", "embeddings": "MMD of embeddings", "length": "words of a passage",
    "fertility": "tokens of a word", "unknown": "unknown tokens", "neighbours": "common neighbours",
}  # fmt: skip


def write_page() -> None:
    """Write the relation, the tables of the page and its figure; equal results give equal files."""
    retrieval, shift, home = (pd.read_csv(HOME / DATA / f"{name}.csv") for name in ("retrieval", "shift", "home"))
    relation = related(retrieval, shift)
    relation.to_csv(HOME / DATA / "relation.csv", index=False, float_format="%.6g", lineterminator="\n")
    page = HOME / PAGE
    if page.exists():
        page.write_text(filled(page.read_text("utf-8"), tables(retrieval, shift, home, relation)), "utf-8")
    drawing = figure(points(retrieval, shift, "words"))
    (HOME / FIGURE).write_text(vl_convert.vegalite_to_svg(drawing.to_json()), "utf-8")


def tables(retrieval: pd.DataFrame, shift: pd.DataFrame, home: pd.DataFrame, relation: pd.DataFrame) -> dict[str, str]:
    """Return the Markdown of every table by name."""
    return {
        "retrieval": "\n".join(retrieval_table(retrieval)),
        "forgetting": "\n".join(forgetting_table(retrieval)),
        "home": "\n".join(home_table(home)),
        "shift": "\n".join(shift_table(shift)),
        "relation": "\n".join(relation_table(relation)),
    }


def filled(text: str, made: dict[str, str]) -> str:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->`."""
    for name, table in made.items():
        marked = re.compile(rf"(<!-- {name} -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda match, table=table: f"{match[1]}{table}{match[2]}", text)
    return text


def retrieval_table(rows: pd.DataFrame) -> Iterator[str]:
    """Yield nDCG@10 of every pair and collection, and the change of R@100."""
    columns = f"queries | before | after | change of {HEADLINE} | Holm p | outcome | change of R@100"
    yield f"| pair | collection | {columns} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    deep = rows[rows["measure"] == "R@100"].set_index(["pair", "collection"])
    for _, row in rows[rows["measure"] == HEADLINE].iterrows():
        cells = [PAIRS[row["pair"]], NAMES[row["collection"]], row["queries"], f"{row['before']:.3f}",
                 f"{row['after']:.3f}", change(row), probability(row["p_holm"]), row["outcome"],
                 change(deep.loc[(row["pair"], row["collection"])])]  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"


def forgetting_table(rows: pd.DataFrame) -> Iterator[str]:
    """Yield, for each pair, where it gained, lost, is equivalent and is undecided."""
    kinds = ("gained", "lost", "equivalent", "undecided")
    yield f"| pair | {' | '.join(kinds)} |"
    yield f"|---|{'---|' * len(kinds)}"
    here = rows[rows["measure"] == HEADLINE]
    for pair, name in PAIRS.items():
        own = here[here["pair"] == pair]
        cells = [[NAMES[c] for c, o in zip(own["collection"], own["outcome"], strict=True) if kind in o.split(", ")]
                 for kind in kinds]  # fmt: skip
        yield f"| {name} | {' | '.join(', '.join(one) or '-' for one in cells)} |"


def home_table(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the change at home by whether the relevant passages of a query were trained with."""
    yield f"| pair | relevant passage trained with | queries | before | after | change of {HEADLINE} |"
    yield "|---|---|---|---|---|---|"
    for _, row in rows[rows["measure"] == HEADLINE].iterrows():
        seen = "yes" if row["passages_trained_with"] else "no"
        cells = [PAIRS[row["pair"]], seen, row["queries"], f"{row['before']:.3f}", f"{row['after']:.3f}", change(row)]
        yield f"| {' | '.join(map(str, cells))} |"


def shift_table(rows: pd.DataFrame) -> Iterator[str]:
    """Yield every number of shift but neighbours for the reference of each pair, and the control."""
    yield f"| reference | collection | rule | {' | '.join(STATISTICS.values())} |"
    yield f"|---|---|---|{'---|' * len(STATISTICS)}"
    for (pair, collection), numbers in rows.groupby(["pair", "collection"], sort=False):
        by_name = numbers.set_index("statistic")
        control = by_name["kind"].iloc[0] == "control"
        cells = [
            reference(rows, pair),
            f"{NAMES[collection]}{' (control)' if control else ''}",
            by_name["rule"].iloc[0],
        ]
        yield f"| {' | '.join([*cells, *(number(name, by_name.loc[name]) for name in STATISTICS)])} |"


def reference(rows: pd.DataFrame, pair: str) -> str:
    own = rows[(rows["pair"] == pair) & (rows["kind"] == "control")]
    return f"{NAMES[own['collection'].iloc[0]]} ({PAIRS[pair]})"


def relation_table(rows: pd.DataFrame) -> Iterator[str]:
    """Yield the rank correlation of every number of shift with the change of retrieval."""
    yield f"| number of shift | mean rank correlation | Holm p | {' | '.join(PAIRS.values())} |"
    yield f"|---|---|---|{'---|' * len(PAIRS)}"
    for _, row in rows.iterrows():
        limits = f"{row['rho']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        own = (f"{row[pair]:+.2f}" for pair in PAIRS)
        yield f"| {STATISTICS[row['statistic']]} | {limits} | {probability(row['p_holm'])} | {' | '.join(own)} |"


def change(row: "pd.Series[float]") -> str:
    return f"{row['effect']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def probability(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def number(name: str, row: "pd.Series[float]") -> str:
    value, low, high = (row[column] for column in ("shift", "low", "high"))
    if name in ("length", "fertility"):
        return f"x {2**value:.2f} [{2**low:.2f}, {2**high:.2f}]"
    sign = "+" if name in ("unknown", "neighbours") else ""
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def points(retrieval: pd.DataFrame, shift: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """Return a row a pair and collection: the size of the shift, and the change of retrieval.

    The reference of a pair is a point, too, with the shift of its control.
    """
    effects = retrieval[retrieval["measure"] == HEADLINE]
    joined = shift[shift["statistic"] == statistic].merge(effects, on=["pair", "collection"], suffixes=("_shift", ""))
    size = joined["shift"] if statistic == "neighbours" else joined["shift"].abs()
    return joined.assign(size=size)


def related(retrieval: pd.DataFrame, shift: pd.DataFrame) -> pd.DataFrame:
    """Return the rank correlation of shift and change: the mean of those within pairs.

    The interval is over collections: each is left out of all pairs at once (jackknife of Fisher's z, Student). p is of
    permutations of the collections, the same in all pairs. Pairs are taken as they are, since there are three.
    """
    rows = []
    for statistic in STATISTICS:
        joined = points(retrieval, shift, statistic)
        sizes, effects = (joined.pivot(index="collection", columns="pair", values=v) for v in ("size", "effect"))
        own = {pair: within(sizes[[pair]], effects[[pair]]) for pair in PAIRS}
        rho, low, high = jackknifed(sizes, effects)
        rows.append({"statistic": statistic, "points": len(joined), "collections": len(sizes), "rho": rho, "low": low,
                     "high": high, "p": permuted(sizes, effects), **own})  # fmt: skip
    frame = pd.DataFrame(rows)
    p = frame["p"].to_numpy()
    return frame.assign(p_holm=correct("holm", p, np.zeros((0, len(p))), SignFlips()))


def within(sizes: pd.DataFrame, effects: pd.DataFrame) -> float:
    """Return the mean over pairs of the rank correlation over collections; NaN where a number is the same in all."""
    return float((standardised(sizes) * standardised(effects)).sum() / sizes.shape[1])


def standardised(values: pd.DataFrame) -> np.ndarray:
    """Return the ranks of every column, centred and of length 1."""
    ranks = values.rank().to_numpy()
    centred = ranks - ranks.mean(axis=0)
    with np.errstate(invalid="ignore"):
        return centred / np.linalg.norm(centred, axis=0)


def jackknifed(sizes: pd.DataFrame, effects: pd.DataFrame) -> tuple[float, float, float]:
    whole, n = within(sizes, effects), len(sizes)
    left = [np.arctanh(within(sizes.drop(index=one), effects.drop(index=one))) for one in sizes.index]
    error = np.sqrt((n - 1) / n * np.square(left - np.mean(left)).sum())
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    return whole, float(np.tanh(np.arctanh(whole) - half)), float(np.tanh(np.arctanh(whole) + half))


def permuted(sizes: pd.DataFrame, effects: pd.DataFrame) -> float:
    """Return the two-sided p of permutations of the collections' effects, the same in all pairs."""
    rng = np.random.default_rng(0)
    x, y = standardised(sizes), standardised(effects)
    drawn = np.array([(x * y[rng.permutation(len(y))]).sum() for _ in range(SHUFFLES)])
    return float((1 + np.sum(np.abs(drawn) >= abs((x * y).sum()) - 1e-9)) / (1 + SHUFFLES))


def figure(joined: pd.DataFrame) -> alt.Chart:
    """Draw the change of retrieval over the divergence of words, a panel a pair."""
    frame = joined.assign(pair=joined["pair"].map(PAIRS), collection=joined["collection"].map(NAMES))
    shown = frame[["pair", "collection", "size", "effect", "low", "high"]]
    x = alt.X("size:Q", title="divergence of words from the reference", scale=alt.Scale(domain=[-0.05, 1.25]))
    base = alt.Chart().encode(x=x)
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title=f"change of {HEADLINE}"), y2="high:Q")
    dots = base.mark_point(filled=True, size=40).encode(y="effect:Q")
    labels = base.mark_text(align="left", dx=5, fontSize=9, angle=320).encode(y="effect:Q", text="collection:N")
    nought = alt.Chart().mark_rule(strokeDash=[3, 3], color="grey").encode(y=alt.datum(0))
    panel = alt.layer(nought, bars, dots, labels, data=shown).properties(width=230, height=230)
    panels = panel.facet(alt.Facet("pair:N", title="fine-tuned on", sort=list(PAIRS.values())), columns=3)
    return panels.resolve_scale(y="independent")
