"""What a WebSocket user does, against an echo server: websocket_client.py URL; prints `fine` at the end."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK


async def main(url):
    async with connect(url, max_size=None, ping_interval=None) as peer:
        for text in ["", "hello", "ü€😀" * 1000]:
            await peer.send(text)
            assert await peer.recv() == text, "text"
        for size in [0, 1, 125, 126, 65_535, 65_536, 5_000_000]:
            data = os.urandom(size)
            await peer.send(data)
            assert await peer.recv() == data, f"binary of {size}"
        await peer.send([b"one ", b"two ", b"three"])
        assert await peer.recv() == b"one two three", "fragments"
        assert await asyncio.wait_for(await peer.ping(b"are you there"), 10) >= 0, "ping"
        # Both ways at once, more than any buffer holds.
        sent = [os.urandom(100_000) for _ in range(100)]

        async def send_all():
            for data in sent:
                await peer.send(data)

        sending = asyncio.create_task(send_all())
        for data in sent:
            assert await peer.recv() == data, "both ways"
        await sending
        await peer.close(code=4001, reason="enough")
        try:
            await peer.recv()
            raise AssertionError("went on after close")
        except ConnectionClosedOK:
            pass
        except Exception:
            pass
        assert (peer.close_code, peer.close_reason) == (4001, "enough"), (peer.close_code, peer.close_reason)
    async with connect(url, compression=None) as plain:
        await plain.send("without extensions")
        assert await plain.recv() == "without extensions"
    print("fine")


asyncio.run(main(sys.argv[1]))
