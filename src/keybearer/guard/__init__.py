"""The guard: how any service verifies both credentials of a request by itself."""
