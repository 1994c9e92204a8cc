"""Report a study: combine the sections of all analyses into verdict, page, tables, text and `summary.json`."""
