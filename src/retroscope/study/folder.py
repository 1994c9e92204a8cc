"""The folders that studies write: the names in them."""

FACTS, SETTINGS, SUMMARY, MEASURED = "study.json", "settings.yaml", "summary.json", "measured"
GRID, DIFF = "grid.json", "diff.json"  # of a training ablation, and of a comparison of weights
WRITTEN = (MEASURED, "tables", "figures")  # folders that a study replaces as a whole
