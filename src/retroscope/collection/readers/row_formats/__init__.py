"""Files of rows that carry texts: one module a format; `table` lists all of them."""
