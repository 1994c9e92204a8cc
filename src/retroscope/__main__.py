"""Run the command line by `python -m retroscope`, as launchers that start modules (e.g. torchrun) need it."""

from retroscope.cli.main import main

main()
