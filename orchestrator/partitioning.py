"""On which partition a customer lives. Computed by us with Kafka's murmur2 (the Java client's default), because
producers in other languages hash differently and one customer must live on one partition."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(customer: str, partitions: int) -> int:
    """The partition of a canonical customer id among `partitions`."""
    hashed: int = murmur2(customer.encode()) & 0x7FFFFFFF
    return hashed % partitions
