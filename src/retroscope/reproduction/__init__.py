"""Reproduction: measure a published study again, point by point, by its own protocol and by a corrected one."""
