"""One short file per command: `run` declares the options and calls one library function; `EXAMPLE` shows its use.

Between the options and the library stands one function that turns the first into settings. It imports nothing heavy,
so a mistyped option or value is refused before torch is loaded.
"""
