"""How a result is printed: numbers, statements, tables, figures, LaTeX, pieces of a page. No torch."""
