"""Projects and what is labeled in them."""
