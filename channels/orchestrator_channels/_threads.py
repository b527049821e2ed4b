"""Calling a provider's blocking client without blocking the loop, inside a total timeout that tells the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Of the total timeout: what connecting may take, and what each read may take. Together they stay below 1, so that the
#: client's own timeout, which knows whether the request was written, speaks before the total one, which does not.
CONNECT_SHARE = 0.3
READ_SHARE = 0.65
#: Of the total timeout, for urllib, which has one timeout for connecting and for every read.
SOCKET_SHARE = 0.8


class NeverStarted(Exception):
    """The time was over before a thread was free: nothing was called."""


class Threads:
    """A pool of threads of one adapter. Their own pool, because the loop's default one has six threads on two cores."""

    def __init__(self, name: str, size: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)

    async def call(self, function: Callable[[], T], timeout: float) -> T:  # noqa: ASYNC109 (the total one is told apart)
        """The function's result. Raises NeverStarted, or TimeoutError while the call goes on unheard."""
        try:
            job = self._pool.submit(function)
        except RuntimeError:
            # The pool is closed.
            raise NeverStarted from None
        answer = asyncio.wrap_future(job)
        # A late error would otherwise be reported as never read.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({answer}, timeout=timeout)
        if done:
            return answer.result()
        if job.cancel():
            raise NeverStarted
        raise TimeoutError

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
