"""Helpers for all other packages: files, checks, parsing, the command line, the console.

It imports no other package of zebjax.
"""
