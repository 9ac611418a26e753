"""The queue of the password hashes: whatever comes in whatever order, it keeps its bounds, refuses nobody who has room,
and forgets everything that is over."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keybearer.server.adapters.passwords.fair_queue import Claim, Entry, FairQueue

LIMIT, SHARE = 6, 3

SHARES = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=2)
WHICH = st.integers(0, 100)


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue(limit=LIMIT, share_limit=SHARE)
        self.claimed: list[Claim] = []
        self.waiting: list[Entry[int]] = []
        self.taken: list[Entry[int]] = []

    @rule(shares=SHARES, known_place=st.booleans())
    def claim(self, shares: list[bytes], known_place: bool) -> None:
        full = len(self.claimed) + len(self.waiting) == LIMIT or (not known_place and self.unknown() == LIMIT // 2)
        has_room = not full and all(self.in_hand().count(share) < SHARE for share in set(shares))
        assert self.queue.has_room(*shares, known_place=known_place) == has_room
        claim = self.queue.claim(*shares, known_place=known_place)
        assert (claim is not None) == has_room
        if claim is not None:
            self.claimed.append(claim)

    @precondition(lambda self: self.claimed)
    @rule(which=WHICH, known_place=st.booleans(), item=st.integers())
    def put(self, which: int, known_place: bool, item: int) -> None:
        claim = self.claimed.pop(which % len(self.claimed))
        self.waiting.append(self.queue.put(claim, item, known_place=known_place))
        self.queue.give_up(claim)  # changes nothing any more
        with pytest.raises(ValueError, match="one entry"):
            self.queue.put(claim, item, known_place=known_place)

    @precondition(lambda self: self.claimed)
    @rule(which=WHICH)
    def give_up(self, which: int) -> None:
        claim = self.claimed.pop(which % len(self.claimed))
        self.queue.give_up(claim)
        self.queue.give_up(claim)

    @rule(strangers=st.booleans())
    def take(self, strangers: bool) -> None:
        eligible = [entry for entry in self.waiting if strangers or entry.known_place]
        entry = self.queue.take(strangers=strangers)
        assert (entry is None) == (not eligible)
        assert entry is None or entry in eligible
        if entry is not None:
            self.waiting.remove(entry)
            self.taken.append(entry)

    @precondition(lambda self: self.taken)
    @rule(which=WHICH)
    def finish(self, which: int) -> None:
        self.queue.finish(self.taken.pop(which % len(self.taken)))

    @precondition(lambda self: self.waiting)
    @rule(which=WHICH)
    def withdraw(self, which: int) -> None:
        assert self.queue.withdraw(self.waiting.pop(which % len(self.waiting)))

    @precondition(lambda self: self.taken)
    @rule(which=WHICH)
    def withdraw_what_does_not_wait(self, which: int) -> None:
        assert not self.queue.withdraw(self.taken[which % len(self.taken)])

    @invariant()
    def bounds_are_kept(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert len(self.claimed) + len(self.waiting) <= LIMIT
        assert self.unknown() <= LIMIT // 2
        assert self.queue.claimed == len(self.claimed)
        assert all(self.in_hand().count(share) <= SHARE for share in self.in_hand())

    def unknown(self) -> int:
        """Those from unknown places for whom there is room, or who have it."""
        return sum(not claim.known_place for claim in self.claimed) + sum(
            not entry.known_place for entry in self.waiting
        )

    def in_hand(self) -> list[bytes]:
        of_claims = [share for claim in self.claimed for share in claim.shares]
        return of_claims + [share for entry in self.waiting + self.taken for share in entry.shares]

    def teardown(self) -> None:
        for claim in self.claimed:
            self.queue.give_up(claim)
        for entry in self.taken:
            self.queue.finish(entry)
        for entry in self.waiting:
            assert self.queue.withdraw(entry)
        assert self.queue._claimed == {True: 0, False: 0}
        assert self.queue._in_hand == {}
        assert not self.queue._lanes[True]._sources
        assert not self.queue._lanes[False]._sources


TestFairQueue = QueueMachine.TestCase
