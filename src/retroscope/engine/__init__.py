"""Engines: compute recorded shards of work once, in this process or on many machines.

A shard is a piece of work whose key holds everything that determines its content. A shard is done if its completion
record exists and matches the content of its files. Both are in storage. So the same command continues a run that was
stopped anywhere. The engines know nothing of texts, models or studies: `local` runs a job in this process, `ray` on a
Ray cluster.
"""
