"""What the processes of background jobs compute, from files in their folder to files in their folder."""
