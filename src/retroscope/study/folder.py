"""The folder of a study: the names in it."""

FACTS, SETTINGS, SUMMARY, MEASURED = "study.json", "settings.yaml", "summary.json", "measured"
WRITTEN = (MEASURED, "tables", "figures")  # folders that a study replaces as a whole
