"""What the service knows: frozen values and pure rules, without I/O.

Instants are integers, milliseconds since the Unix epoch, in names that end in `_at` or `_until`. Durations are
integers, in seconds. Ids are `uuid.UUID`, version 7, so that rows are made in the order of their keys.
"""
