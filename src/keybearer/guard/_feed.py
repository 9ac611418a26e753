"""The follower: takes the snapshot, then every change, in a thread of its own (contract.md section 4)."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from keybearer.guard._documents import MalformedDocument, read_entry, read_heartbeat
from keybearer.guard._errors import GuardError, GuardKeyRefused, ServiceUnreachable, WrongService
from keybearer.guard._events import Event, EventReader, MalformedStream
from keybearer.guard._knowledge import Knowledge
from keybearer.guard._limits import Limits
from keybearer.guard._metrics import FeedCounts
from keybearer.guard._refused import require_admitted
from keybearer.guard._revocations import Revocations
from keybearer.guard._snapshot import Snapshot, read_snapshot
from keybearer.guard.state import ApiKeyState, ApplicationState, KeySetChanged
from keybearer.outgoing.line import Closed, Line, Unreachable
from keybearer.wire.feed import CONTENT_TYPE, ENTRY, HEARTBEAT, RESET, make_event_id, parse_event_id

log = logging.getLogger("keybearer.guard")

AHEAD = 1000
"""Milliseconds by which a heartbeat may be ahead of the guard's clock before the service's time is measured again."""

RETIREMENT = 5 * 10**9
"""Nanoseconds after which no thread is in the middle of a look-up in tables that were replaced."""


class _Resynchronize(Exception):
    """The snapshot must be taken again."""


@dataclass(slots=True)
class _Place:
    """How far the log was read, the position of the snapshot, and that of the latest entry about each application and
    key since."""

    epoch: str
    snapshot: int
    position: int
    latest: dict[str, int] = field(default_factory=dict)

    def is_news(self, name: str, position: int) -> bool:
        """Whether an entry about `name` is not older than what is known: state, unlike a revocation, can go back."""
        if position <= self.snapshot or position < self.latest.get(name, 0):
            return False
        self.latest[name] = position
        return True


class Follower:
    """`on_learned` is called whenever something was learned, `on_problem` with what keeps it from learning."""

    def __init__(
        self,
        line: Line,
        knowledge: Knowledge,
        limits: Limits,
        *,
        steady: Callable[[], int],
        on_learned: Callable[[], None],
        on_problem: Callable[[GuardError], None],
    ) -> None:
        self._line = line
        self._knowledge = knowledge
        self._limits = limits
        self._steady = steady
        self._on_learned = on_learned
        self._on_problem = on_problem
        self._closing = threading.Event()
        self._place: _Place | None = None
        self._failures = 0
        self._retired: list[tuple[int, Revocations]] = []
        self.counts = FeedCounts()

    def run(self) -> None:
        """Until `close`."""
        closing = self._closing  # its own: `resume` makes another for the thread that takes over
        while not closing.is_set():
            closing.wait(self._follow(closing))

    def close(self) -> None:
        self._closing.set()
        self._line.close()

    def resume(self, line: Line) -> None:
        """In the child of a fork, and after `close`: go on from the same place, on connections of its own."""
        self._line.abandon()
        self._line = line
        self._closing = threading.Event()

    def _follow(self, closing: threading.Event) -> float:
        """Until something fails. Answers how many seconds to wait before the next try."""
        try:
            place = self._place
            if place is None:
                place = self._place = self._take_snapshot()
            while not closing.is_set():
                self._follow_stream(place)
        except Closed:
            return 0
        except _Resynchronize as reason:
            self._place = None
            return self._lose(f"the state is taken anew: {reason}", self._limits.longest_pause)
        except MalformedDocument as error:
            return self._refuse(str(error))
        except (MalformedStream, Unreachable) as error:
            self._on_problem(ServiceUnreachable(f"The service at {self._line.address} cannot be followed: {error}."))
            return self._lose(str(error), self._limits.longest_pause)
        except GuardError as error:
            return self._refuse_service(error)
        return 0

    # --- snapshot ---

    def _take_snapshot(self) -> _Place:
        self._dissolve_retired()
        sent = self._steady()
        arrived: list[int] = []

        def check(name: str, snapshot: Snapshot) -> None:
            if name == "issuer":
                self._knowledge.require_issuer(snapshot.issuer)
            elif name == "now":
                arrived.append(self._steady())

        limits = self._limits
        with self._line.get(self._line.address.snapshot, {}, silence=limits.answer_timeout) as answer:
            require_admitted(answer, self._steady)
            chunks = answer.chunks(self._steady, limits.snapshot_seconds)
            snapshot = read_snapshot(chunks, max_bytes=limits.snapshot_bytes, on_member=check)
        self._observe(sent, arrived[0], snapshot.now)
        return self._use(snapshot)

    def _use(self, snapshot: Snapshot) -> _Place:
        knowledge, state = self._knowledge, self._knowledge.state
        if state.as_of is not None and snapshot.as_of < state.as_of:
            raise Unreachable("the snapshot is older than what is known")
        self._retired.append((self._steady(), state.revocations))
        state.use(snapshot.applications, snapshot.keys, snapshot.revocations, snapshot.key_set_version)
        knowledge.learn_identity(snapshot.issuer, snapshot.audience)
        state.as_of = min(snapshot.as_of, knowledge.clock.now())
        self.counts.snapshots += 1
        log.info("took the snapshot at position %d", snapshot.position)
        self._on_learned()
        return _Place(snapshot.epoch, snapshot.position, snapshot.position)

    # --- stream ---

    def _follow_stream(self, place: _Place) -> None:
        """For `stream_lifetime`."""
        headers = {"Accept": CONTENT_TYPE, "Last-Event-ID": make_event_id(place.epoch, place.position)}
        sent: int | None = self._steady()
        end = self._steady() + int(self._limits.stream_lifetime * 1e9)
        reader = EventReader()
        with self._line.get(self._line.address.feed, headers, silence=self._limits.stream_silence) as answer:
            require_admitted(answer, self._steady)
            if not answer.header("content-type").startswith(CONTENT_TYPE):
                raise WrongService("What answers at this address is no feed of Keybearer: check base_url.")
            for chunk in answer.chunks(self._steady):
                for event in reader.read(chunk):
                    self._take(place, event, sent)
                    if event.kind == HEARTBEAT:
                        sent = None
                if self._steady() > end:
                    return
            raise Unreachable("the stream has ended")

    def _take(self, place: _Place, event: Event, sent: int | None) -> None:
        """`sent`: when the stream was asked for; None once its first heartbeat has measured the service's time."""
        if event.kind == ENTRY:
            self._take_entry(place, event)
        elif event.kind == HEARTBEAT:
            self._take_heartbeat(place, event, sent)
        elif event.kind == RESET:
            raise _Resynchronize("the service says so")
        else:
            self.counts.unknown_kinds += 1

    def _take_entry(self, place: _Place, event: Event) -> None:
        position = _position_of(place, event)
        entry = read_entry(event.data)
        if entry is None:
            self.counts.unknown_kinds += 1
        else:
            self.counts.entries += 1
            if not isinstance(entry, ApplicationState | ApiKeyState) or place.is_news(entry.id, position):
                self._knowledge.state.apply(entry)
        place.position = max(place.position, position)
        if isinstance(entry, KeySetChanged):
            self._on_learned()

    def _take_heartbeat(self, place: _Place, event: Event, sent: int | None) -> None:
        heartbeat = read_heartbeat(event.data)
        place.position = max(place.position, _position_of(place, event))
        clock, state = self._knowledge.clock, self._knowledge.state
        if sent is not None:
            if self._observe(sent, self._steady(), heartbeat.now):
                raise _Resynchronize("the service's clock was set back")
            self._failures = 0
        elif heartbeat.now > clock.now() + AHEAD:
            raise Unreachable("the service's time has to be measured again")
        state.as_of = max(state.as_of or 0, min(heartbeat.as_of, clock.now()))
        while state.expire(clock.now()):
            pass
        self._dissolve_retired()
        self._on_learned()

    def _observe(self, sent: int, received: int, service_now: int) -> bool:
        """Measure the service's time. True when it was set back: then revocations may have been dropped too early, so
        nothing is fresh before the next snapshot."""
        back = self._knowledge.clock.observe(sent, received, service_now)
        if back:
            self._knowledge.state.as_of = None
        return back > 0

    def _dissolve_retired(self) -> None:
        while self._retired and self._steady() - self._retired[0][0] > RETIREMENT:
            self._retired.pop(0)[1].dissolve()

    # --- failures ---

    def _lose(self, reason: str, longest: float) -> float:
        self.counts.reconnects += 1
        log.warning("lost the feed: %s", reason)
        return self._pause(longest)

    def _refuse(self, reason: str) -> float:
        """The old state is kept, and grows old."""
        was_snapshot = self._place is None
        self._place = None
        self._on_problem(ServiceUnreachable(f"What {self._line.address} answers is not taken: {reason}."))
        if not was_snapshot:
            return self._lose(reason, self._limits.longest_pause)
        self.counts.snapshots_refused += 1
        log.error("refused a snapshot: %s; the state is kept as it was", reason)
        return self._pause(self._limits.refused_pause)

    def _refuse_service(self, error: GuardError) -> float:
        if isinstance(error, WrongService) and self._place is None:
            self.counts.snapshots_refused += 1
        log.error("cannot follow: %s", error)
        self._on_problem(error)
        return (
            self._limits.refused_pause
            if isinstance(error, GuardKeyRefused)
            else self._pause(self._limits.refused_pause)
        )

    def _pause(self, longest: float) -> float:
        """Twice the last one, and shorter by up to a half, so that guards do not come back all at once."""
        pause: float = min(self._limits.first_pause * 2.0 ** min(self._failures, 20), longest)
        self._failures += 1
        return pause * (1 - (self._steady() // 1000 % 1000) / 2000)


def _position_of(place: _Place, event: Event) -> int:
    named = parse_event_id(event.id)
    if named is None or named[0] != place.epoch:
        raise _Resynchronize("the log is another one")
    return named[1]
