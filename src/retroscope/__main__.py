"""`python -m retroscope`, for tools that start modules, as torchrun does."""

from retroscope.cli.main import main

main()
