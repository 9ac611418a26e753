"""The formats of the three credentials, pure: no storage, no clock, no randomness of their own."""
