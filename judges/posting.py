"""Posting many requests at once: openai's asynchronous client on aiohttp, called from ordinary threads.

One thread runs the event loop for all, and sends the next request as soon as a reply is there, whoever waits for it.
Requests in flight are counted by connections: some are made ready, and replies are read, while others are on the wire.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import AsyncOpenAI

FAREWELL_SECONDS = 2.0
"""How long the end of the program waits for connections to be closed."""


class Poster:
    """Posts to one endpoint from any thread, within one process."""

    def __init__(self, base_url: str, key: str, timeout_seconds: float, concurrency: int | None = None) -> None:
        """``concurrency``: requests in flight, however many threads ask; None: as many as threads."""
        import openai
        from httpx2 import Limits

        limits = Limits(max_connections=concurrency or 0)  # 0 is no limit to aiohttp, and None is a hundred
        timeout = openai.Timeout(timeout_seconds, pool=None)  # waiting for one's turn takes as long as it takes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="endpoint", daemon=True)
        self._thread.start()
        self._api = openai.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(timeout=timeout, limits=limits),
        )
        weakref.finalize(self, _end, self._loop, self._thread, self._api)

    def post(self, path: str, content: bytes) -> bytes:
        """The reply's body. Raises as the ``openai`` client does."""

        async def send() -> bytes:
            return await self._api.post(path, content=content, cast_to=bytes)

        sent = asyncio.run_coroutine_threadsafe(send(), self._loop)
        try:
            return sent.result()
        except BaseException:
            sent.cancel()  # nothing if it has ended; else whoever waited was interrupted
            raise


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, api: AsyncOpenAI) -> None:
    """Close the connections and let the thread end."""

    async def close() -> None:
        try:
            await api.close()
        finally:
            loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)
    if threading.current_thread() is not thread:  # which may be the one that collects garbage
        thread.join(FAREWELL_SECONDS)
