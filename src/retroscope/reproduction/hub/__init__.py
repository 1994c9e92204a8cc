"""Models and data of the Hugging Face hub that a reproduction reads, and made-up ones for `--scale smoke`."""
