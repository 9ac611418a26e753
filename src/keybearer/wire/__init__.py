"""The documents of the HTTP API, shared by the service, the clients and the guard."""
