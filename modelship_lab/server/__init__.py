"""The lab server: the only opener of the database, and the one door for everybody else."""
