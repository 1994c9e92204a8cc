"""Resampling: intervals and null distributions by drawing, flipping or leaving out queries, by cluster."""
