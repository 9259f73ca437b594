"""The native REST API: how an endpoint is declared, and the endpoints by capability."""
