"""Find the anatomy of a family without a row in the table: by a forward pass, or not at all."""
