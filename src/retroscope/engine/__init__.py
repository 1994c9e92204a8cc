"""Engines: compute recorded shards of work once, in this process or on many machines.

A shard is a piece of work whose key holds all that makes its content. It is done when its completion record says so and
the content of its files agrees. Both lie on storage. So whatever is stopped anywhere goes on with the same command. The
engines know nothing of texts, models or studies: `local` runs a job in this process, `ray` on a Ray cluster.
"""
