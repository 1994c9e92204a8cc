"""Reproduction: a published study as data, measured again, point by point, beside the corrected instruments."""
