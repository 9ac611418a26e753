"""What this package raises.

    JoseError
    ├── InvalidKey      a key or a key set is not one that signatures can be trusted with
    └── InvalidJws      a token is not one that a key of the set has signed

They are values to be translated: what a caller is told is said in `keybearer.errors`. No message quotes its input.
"""


class JoseError(ValueError):
    """The root of everything that `keybearer.jose` raises."""


class InvalidKey(JoseError):
    pass


class InvalidJws(JoseError):
    pass
