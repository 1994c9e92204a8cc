"""Facts put into a backbone, or taken out of it, by changing one FFN matrix."""
