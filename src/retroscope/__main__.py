"""Run the command line by `python -m retroscope`, which launchers such as torchrun need."""

from retroscope.cli.main import main

main()
