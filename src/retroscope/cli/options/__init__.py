"""Options of the command line, in the groups in which `--help` shows them."""
