"""One short file per command: `run` declares the options and calls one library function; `EXAMPLE` shows its use.

One function of each command turns the options into settings for the library. It imports nothing heavy, so a mistyped
option or value is refused before torch is loaded.
"""
