"""The DuckDB file, the content-addressed blobs, and the folder they live in."""
