"""How a result is said: numbers, statements, tables, figures, LaTeX, pieces of a page. No torch."""
