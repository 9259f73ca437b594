"""Background jobs: each in a process of its own, which cannot take the server along."""
