"""Importers of published traces, one format a file. Each refuses a malformed row, naming file, line, field and rule."""
