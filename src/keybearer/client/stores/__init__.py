"""Where a client keeps its session. Every store keeps one text, which it need not understand.

MemoryStore          this process; ends with it
FileStore            a file that several processes of one user share (POSIX)
KeyringStore         the system's keyring; needs keybearer[keyring]
TokenStore           what a store of your own fulfils
AsyncTokenStore      the same for stores that are asked with `await`; for AsyncClient
"""

from keybearer.client.stores._contract import AsyncTokenStore, TokenStore
from keybearer.client.stores._file import FileStore
from keybearer.client.stores._keyring import KeyringStore
from keybearer.client.stores._memory import MemoryStore

__all__ = ["AsyncTokenStore", "FileStore", "KeyringStore", "MemoryStore", "TokenStore"]
