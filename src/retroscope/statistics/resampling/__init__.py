"""Resampling: intervals and null distributions from drawing, sign flips or leaving out queries, by cluster."""
