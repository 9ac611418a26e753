"""Requests to the service by those that run elsewhere, with the standard library alone: the guard and the client."""
