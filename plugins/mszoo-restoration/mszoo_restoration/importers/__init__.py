"""Importers, a class for each layout of published files."""
