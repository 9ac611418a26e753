"""Keybearer beside other services that do the same work: `make bench-peers`."""
