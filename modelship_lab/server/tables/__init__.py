"""What the lab knows as tables, for SQL outside of the server."""
