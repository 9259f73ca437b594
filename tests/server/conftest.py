"""What tests of several parts of the server need."""

from tests.server.identity.conftest import person

__all__ = ["person"]
