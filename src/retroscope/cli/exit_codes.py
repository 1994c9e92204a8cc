"""The exit codes of the command line; docs/reference/json.md lists them."""

DONE, UNSOUND, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

MEANINGS = {
    DONE: "done",
    UNSOUND: "`doctor` found an error in a model, or a condition of `--gate` does not hold; the output says which",
    USER_ERROR: "a mistake that you can mend: the message says what, where, and what to do",
    INTERRUPTED: "interrupted (Ctrl-C); what was measured is kept, and the same command goes on from there",
}
