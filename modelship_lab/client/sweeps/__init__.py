"""Sweeps: many trials of one objective with other parameters each, every trial a run of its own."""
