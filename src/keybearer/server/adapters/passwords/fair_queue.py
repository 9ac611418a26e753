"""Who waits for a hash, and whose turn it is. Pure and for one thread; every operation takes constant time."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False, slots=True)
class Claim:
    """Room for an entry that is still to come. `is_open` until it has come, or is given up. `shares` are what it counts
    against; the first is its source."""

    shares: tuple[bytes, ...]
    known_place: bool
    is_open: bool = True


@dataclass(eq=False, slots=True)
class Entry(Generic[Item]):
    """One piece of work. Without shares it is the service's own, which nothing but the queue's room limits."""

    item: Item
    shares: tuple[bytes, ...]
    known_place: bool

    @property
    def source(self) -> bytes | None:
        return self.shares[0] if self.shares else None


class _Lane(Generic[Item]):
    """Entries by source, the sources in turn and those of one source in the order in which they came."""

    def __init__(self) -> None:
        self._sources: OrderedDict[bytes | None, OrderedDict[Entry[Item], None]] = OrderedDict()
        self.size = 0

    def put(self, entry: Entry[Item]) -> None:
        self._sources.setdefault(entry.source, OrderedDict())[entry] = None
        self.size += 1

    def take(self) -> Entry[Item]:
        source, entries = self._sources.popitem(last=False)
        entry, _ = entries.popitem(last=False)
        if entries:
            self._sources[source] = entries
        self.size -= 1
        return entry

    def remove(self, entry: Entry[Item]) -> bool:
        entries = self._sources.get(entry.source)
        if entries is None or entry not in entries:
            return False
        del entries[entry]
        if not entries:
            del self._sources[entry.source]
        self.size -= 1
        return True


class FairQueue(Generic[Item]):
    """Attempts from known places and from unknown ones are served alternately, and of each kind the sources in turn.

    There is room for `limit` entries that wait, and at most half of it is for unknown places: the other half is kept
    for the known ones. A share has at most `share_limit` entries in hand, claimed, waiting or taken.
    """

    def __init__(self, *, limit: int, share_limit: int) -> None:
        self._limit = limit
        self._share_limit = share_limit
        self._lanes = {True: _Lane[Item](), False: _Lane[Item]()}
        self._claimed = {True: 0, False: 0}
        self._in_hand: dict[bytes, int] = {}
        self._known_place_next = True

    def __len__(self) -> int:
        """How many wait."""
        return self._lanes[True].size + self._lanes[False].size

    @property
    def claimed(self) -> int:
        """How many have room, and are still to come."""
        return self._claimed[True] + self._claimed[False]

    def has_room(self, *shares: bytes, known_place: bool) -> bool:
        """Whether `claim` would answer one."""
        if any(self._in_hand.get(share, 0) >= self._share_limit for share in shares):
            return False
        unknown = self._lanes[False].size + self._claimed[False]
        return len(self) + self.claimed < self._limit and (known_place or unknown < self._limit // 2)

    def claim(self, *shares: bytes, known_place: bool) -> Claim | None:
        """Room for one entry; None, and nothing changed, when the queue or a share is full."""
        if not self.has_room(*shares, known_place=known_place):
            return None
        claim = Claim(tuple(dict.fromkeys(shares)), known_place)
        self._claimed[known_place] += 1
        for share in claim.shares:
            self._in_hand[share] = self._in_hand.get(share, 0) + 1
        return claim

    def put(self, claim: Claim, item: Item, *, known_place: bool) -> Entry[Item]:
        """The entry for which room was claimed. Its place may have turned out to be known; one that was known stays so,
        for the other half may be full. Raises ValueError for a claim that is not open any more."""
        if not claim.is_open:
            raise ValueError("room is claimed for one entry")
        entry = Entry(item, claim.shares, known_place or claim.known_place)
        self._close(claim)
        self._lanes[entry.known_place].put(entry)
        return entry

    def give_up(self, claim: Claim) -> None:
        """Nothing changes when its entry has come."""
        if claim.is_open:
            self._close(claim)
            self._release(claim.shares)

    def _close(self, claim: Claim) -> None:
        claim.is_open = False
        self._claimed[claim.known_place] -= 1

    def take(self, *, strangers: bool = True) -> Entry[Item] | None:
        """The next entry, without `strangers` the next from a known place; None when there is none. Its shares have it
        in hand until `finish`."""
        lane = self._lanes[self._known_place_next or not strangers]
        if strangers and not lane.size:
            lane = self._lanes[not self._known_place_next]
        if not lane.size:
            return None
        entry = lane.take()
        self._known_place_next = not entry.known_place
        return entry

    def finish(self, entry: Entry[Item]) -> None:
        """A taken entry is done."""
        self._release(entry.shares)

    def _release(self, shares: tuple[bytes, ...]) -> None:
        for share in shares:
            self._in_hand[share] -= 1
            if not self._in_hand[share]:
                del self._in_hand[share]

    def withdraw(self, entry: Entry[Item]) -> bool:
        """Drop an entry that still waits. False, and nothing changed, when it does not wait (any more)."""
        if not self._lanes[entry.known_place].remove(entry):
            return False
        self._release(entry.shares)
        return True
