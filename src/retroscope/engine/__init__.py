"""Engines: compute the pieces (shards) of a job, each once, in this process or on many machines.

A shard is a piece of work, e.g. encoding some texts. Its key is a hash of everything that determines its result. A
shard is done if its completion record exists in storage and matches the content of its files. If a run was stopped, the
same command therefore computes only the other shards. The engine `local` runs a job in this process, `ray` on a Ray
cluster. Engines do not depend on texts, models or studies.
"""
