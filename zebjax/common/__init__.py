"""What every other package may use: files, checks, parsing, the command line, the console. It
imports none of them.
"""
