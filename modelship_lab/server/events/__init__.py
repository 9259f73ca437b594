"""The event log, and those who listen to it."""
