"""Edit facts in a backbone (add or remove them) by changing one FFN matrix."""
