"""What a study says: sections of all analyses as verdict, page, tables, terminal and `summary.json`."""
