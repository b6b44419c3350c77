"""What is told over Redis is heard by who wants it."""

import asyncio

from persistence.ephemeral import session_news, store


class Slow:
    """A subscription to Redis during whose making somebody comes to want more."""

    def __init__(self, real, meanwhile):
        self._real = real
        self._meanwhile = meanwhile

    async def subscribe(self, *names):
        self._meanwhile()
        await self._real.subscribe(*names)

    def __getattr__(self, name):
        return getattr(self._real, name)


async def test_what_is_wanted_while_a_subscription_is_made_is_heard_as_well(application):
    heard = asyncio.Queue()
    ear = session_news.Ear(heard.put_nowait)
    first, second = (session_news.frames_channel("org_x", each) for each in "ab")
    ear.wanted.add(first)
    redis = store.current()

    async with redis.pubsub() as real:
        listening = asyncio.create_task(ear._hear(Slow(real, lambda: ear.wanted.add(second))))
        try:
            async with asyncio.timeout(5):
                while await redis.publish(second, "") == 0:
                    await asyncio.sleep(0.02)
                assert await heard.get() == second
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
