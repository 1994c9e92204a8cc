"""Report a study: the sections of all analyses as verdict, page, tables, terminal and `summary.json`."""
