"""Beginning an epoch of the feed: for a database that has gone back in time, as by a restore.

What was given out in the time that is lost must not be taken for something that is given out later. So two numbers go
on from the clock, which has gone on: a version of the key set, or a `ver`, cannot have changed every millisecond.
"""

from collections.abc import Sequence

from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.revocations import EpochBegun
from keybearer.server.domain.secret_keys import SecretKey
from keybearer.server.domain.sessions import EndReason
from keybearer.server.storage.operations import endings, secret_keys, trail
from keybearer.server.storage.statements import Access, Statement, Steps, operation

_FEED = "SELECT epoch, position, clock_ms() AS now FROM feed"
_RAISE_EVERY_VER = "UPDATE users SET ver = GREATEST(ver + 1, $1)"
_BEGIN = """
    UPDATE feed SET epoch = $1, key_set_version = GREATEST(key_set_version + 1, $2) RETURNING position"""


@operation(Access.BULK)
def begin_epoch(epoch: str, actor: Actor) -> Steps[EpochBegun]:
    (feed,) = yield Statement(_FEED)
    now: int = feed["now"]
    yield Statement(_RAISE_EVERY_VER, (now,))
    yield from trail.write(now, _event(actor, epoch=epoch, before=feed["epoch"]))
    (begun,) = yield Statement(_BEGIN, (epoch, now))
    return EpochBegun(epoch, begun["position"], now, sessions=0)


@operation(Access.BULK)
def start_over(epoch: str, keys: Sequence[SecretKey], actor: Actor) -> Steps[EpochBegun]:
    """The keys after the counter, whose lock then keeps others from adding some at the same time."""
    (feed,) = yield Statement(_FEED)
    now: int = feed["now"]
    count = yield from endings.end_all(now, EndReason.RESTORED)
    (begun,) = yield Statement(_BEGIN, (epoch, now))
    yield from secret_keys.replace_all(keys, now, actor)
    yield from trail.write(now, _event(actor, epoch=epoch, before=feed["epoch"], sessions=str(count)))
    return EpochBegun(epoch, begun["position"], now, count)


def _event(actor: Actor, **detail: str) -> AuditEvent:
    return AuditEvent(AuditKind.EPOCH_BEGUN, actor, detail=detail)
