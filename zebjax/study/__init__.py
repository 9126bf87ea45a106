"""Studying positions: files of games, tables and pictures of them, analysis, review, an engine."""
