"""Stored password hashes: the current scheme, and those that other systems leave behind.

Understood, each under one text form only (`schemes.parse`):

    argon2id, argon2i, argon2d   PHC strings, version 19 and 16 (or none, which means 16); Django's `argon2$…`
    bcrypt                       $2a$, $2b$, $2y$; Django's `bcrypt$…`
    bcrypt-sha256                Django's `bcrypt_sha256$…`; passlib's `$bcrypt-sha256$…`, versions 1 and 2
    scrypt                       PHC strings (`ln` is log2 N); ory/kratos's, whose `ln` is N itself; Django's `scrypt$…`
    pbkdf2-sha256, pbkdf2-sha512 passlib's `$pbkdf2-sha256$…`; PHC strings with `i=` and `l=`; Django's
                                 `pbkdf2_sha256$…`; GRUB's `grub.pbkdf2.sha512.…`; ASP.NET Core Identity, version 3

What is refused, and why, is said by `schemes.REFUSED`. Keycloak has no string, only two columns; written as
`$pbkdf2-sha256$i=<hashIterations>,l=<bytes of value>$<salt>$<value>` its hashes are understood.
"""
