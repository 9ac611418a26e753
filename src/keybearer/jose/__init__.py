"""JSON Web Signature (RFC 7515) in its compact form, with ES256, EdDSA (Ed25519) and RS256, and nothing else.

Beside `keybearer.server.adapters.key_encryption` the only code that touches the crypto library. Nothing but `JoseError`
leaves it, whatever a token or a key holds.
"""
