"""ModelShip Lab in a notebook: `%mlship`, widgets, pictures."""
