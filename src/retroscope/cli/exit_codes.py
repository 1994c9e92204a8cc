"""The exit codes of the command line; docs/reference/json.md lists them."""

DONE, UNSOUND, USER_ERROR, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143

STOPPED = "what was measured is kept, and the same command goes on from there"
MEANINGS = {
    DONE: "done",
    UNSOUND: "`doctor` found an error, `cache --verify` a damaged file, or a condition of `--gate` does not hold",
    USER_ERROR: "a mistake that you can mend: the message says what, where, and what to do",
    HUNG_UP: f"hung up (SIGHUP, as when a terminal closes); {STOPPED}",
    INTERRUPTED: f"interrupted (Ctrl-C); {STOPPED}",
    TERMINATED: f"terminated (SIGTERM, as from a scheduler); {STOPPED}",
}
