"""The one grammar behind `%mlship` in a notebook and `mlship` in a shell."""
