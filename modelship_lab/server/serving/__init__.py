"""Deployments: model workers that are kept alive, switched without a failed request, and asked."""
