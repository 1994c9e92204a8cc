"""The folders that studies write: the names in them."""

from retroscope.analyses.weights import DIFF as DIFF

FACTS, SETTINGS, SUMMARY, MEASURED, PAGE = "study.json", "settings.yaml", "summary.json", "measured", "report.html"
GRID = "grid.json"  # of a training ablation
REPORTED = ("tables", "figures")  # folders that every report replaces as a whole
WRITTEN = (MEASURED, *REPORTED)  # those that a study does
