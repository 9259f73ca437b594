"""Bundles, models, their versions and stages."""
