"""The folders that studies write: the names in them."""

FACTS, SETTINGS, SUMMARY, MEASURED, PAGE = "study.json", "settings.yaml", "summary.json", "measured", "report.html"
GRID, DIFF = "grid.json", "diff.json"  # of a training ablation, and of a comparison of weights
WRITTEN = (MEASURED, "tables", "figures")  # folders that a study replaces as a whole
