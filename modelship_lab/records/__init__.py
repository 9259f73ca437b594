"""The words that all processes of the lab share: records, errors, event types.

Nothing here does input or output, and nothing here imports another part of the package.
"""
