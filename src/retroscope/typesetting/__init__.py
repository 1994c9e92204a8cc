"""Typesetting: print results as numbers, statements, tables, figures, LaTeX and pages. No torch."""
