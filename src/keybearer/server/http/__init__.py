"""The HTTP edge: bytes to flows and back. `routes.py` is the contents page."""
