"""Intervals and nulls by resampling: queries are drawn again, flipped or left out, by cluster."""
