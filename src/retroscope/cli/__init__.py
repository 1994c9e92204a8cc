"""The command line: shared options, parsing, output, and one file for each command.

A command declares its options, converts them to settings, calls one function of the library and prints the result.
Options that commands share are in `options`, the exit codes in `exit_codes`. No command imports torch before it runs.
"""
