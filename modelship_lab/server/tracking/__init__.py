"""Runs, their metrics and artifacts."""
