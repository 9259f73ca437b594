"""Learning with torch and Lightning: snapshot to tensors, recipes, fit, evaluate, export, suggest.

Importing this package, its `recipes` or `train` does not load torch; training does.
"""
