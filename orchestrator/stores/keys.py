"""Every Redis key's name, in one place.

Keys of a partition carry its hash tag `{n}`, so that a commit is one script on one slot of Redis Cluster.

    o:{n}:c:<customer>     string   the customer's document (msgpack)
    o:{n}:meta             hash     epoch, acquired, seq, offset, clock, control: fence and position
    o:{n}:timers           zset     customer → ms of the customer's earliest wait
    o:{n}:send:<send_id>   hash     row, status, attempt, provider, provider_id, updated: one send's life (outbox.py)
    o:{n}:planned          zset     send_id → ms not before
    o:{n}:sending          zset     send_id → ms at which the claim is given up
    o:{n}:unknown          zset     send_id → ms of the next reconciliation
    o:{n}:parked           zset     send_id → ms since when it waits for a person
    o:{n}:relay            stream   rows on their way to the log (topic, key, value)
    o:{n}:count            hash     counters
    o:{n}:customers        zset     ids of all customers, by name: for the sweep when a journey goes live
    o:{n}:sums             hash     pooled sums of evidence (learning/pooled.py), integers
    o:{n}:log:<topic>      stream   embedded mode's log; the entry `<offset + 1>-0` is the record `offset`
    o:partitions           string   number of partitions, recorded on first start
    o:program              string   hash of the program published last
    o:priors               hash     snapshot of shared beliefs published last: number, body (hash), evidence
    o:body:<hash>          string   a body in the shared store: a program, a snapshot of priors
    o:to:<send_id>         string   customer of a send, so that a callback finds its way (expires)
    o:last:<hmac>          string   send_id last sent to an address, so that an answer finds its send (expires)
    o:sent-to:<send_id>    string   HMAC of the address a send went to, so that an unsubscribe can name it (expires)
    o:suppressed:<hmac>    hash     an address that must not be written to
    o:kill                 hash     kill switches: all, journey:<slug>, channel:<name>
    o:limit:{provider}     string   shared rate limit: ms at which all reserved calls are done
    o:breaker:{provider}   hash     shared circuit breaker: state, failures, until, reason
    o:lease:<name>         string   who does a job that only one may do (ticker)
    o:tick                 string   the highest tick written so far, ms
    o:ingest:<topic>       hash     source partition → next offset that ingest has to forward
    o:alive:<stage>:<host>:<pid>  string  heartbeat of a process (expires)
"""

from __future__ import annotations

PREFIX = "o"
#: How long a finished send is remembered, in ms: 60 days.
FINISHED_SEND_MS = 60 * 86_400_000


def _of(partition: int, rest: str) -> str:
    return f"{PREFIX}:{{{partition}}}:{rest}"


def customer(partition: int, customer_id: str) -> str:
    return _of(partition, f"c:{customer_id}")


def meta(partition: int) -> str:
    return _of(partition, "meta")


def timers(partition: int) -> str:
    return _of(partition, "timers")


def send(partition: int, send_id: str) -> str:
    return _of(partition, f"send:{send_id}")


def planned(partition: int) -> str:
    return _of(partition, "planned")


def sending(partition: int) -> str:
    return _of(partition, "sending")


def unknown(partition: int) -> str:
    return _of(partition, "unknown")


def parked(partition: int) -> str:
    return _of(partition, "parked")


def relay(partition: int) -> str:
    return _of(partition, "relay")


def count(partition: int) -> str:
    return _of(partition, "count")


def customers(partition: int) -> str:
    return _of(partition, "customers")


def sums(partition: int) -> str:
    return _of(partition, "sums")


def log(partition: int, topic: str) -> str:
    return _of(partition, f"log:{topic}")


PARTITIONS = f"{PREFIX}:partitions"
PROGRAM = f"{PREFIX}:program"
PRIORS = f"{PREFIX}:priors"
KILL = f"{PREFIX}:kill"


def body(digest: str) -> str:
    return f"{PREFIX}:body:{digest}"


def recipient(send_id: str) -> str:
    return f"{PREFIX}:to:{send_id}"


def last_send(address_hmac: str) -> str:
    return f"{PREFIX}:last:{address_hmac}"


def sent_to(send_id: str) -> str:
    return f"{PREFIX}:sent-to:{send_id}"


def suppressed(address_hmac: str) -> str:
    return f"{PREFIX}:suppressed:{address_hmac}"


def limit(provider: str) -> str:
    return f"{PREFIX}:limit:{{{provider}}}"


def breaker(provider: str) -> str:
    return f"{PREFIX}:breaker:{{{provider}}}"


def lease(name: str) -> str:
    return f"{PREFIX}:lease:{name}"


def heartbeat(stage: str, host: str, pid: int | str) -> str:
    return f"{PREFIX}:alive:{stage}:{host}:{pid}"


TICK = f"{PREFIX}:tick"


def ingest(topic: str) -> str:
    return f"{PREFIX}:ingest:{topic}"
