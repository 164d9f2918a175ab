"""A response's head and the beginning of its body are one system call."""

from __future__ import annotations

import asyncio

from fhir_server.rest.protocol import Together


class Wire:
    """A transport that remembers each system call it would make."""

    def __init__(self):
        self.calls = []

    def write(self, data):
        self.calls.append(bytes(data))

    def is_closing(self):
        return False

    def close(self):
        self.calls.append(b"closed")


async def test_a_head_goes_with_its_body_and_alone_where_none_follows():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    wire = Wire()
    together = Together(wire, asyncio.get_running_loop())
    together.write(head)
    together.write(b"body")
    assert wire.calls == [head + b"body"]
    together.write(head)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.calls[1:] == [head]
    together.write(head)
    together.write(b"x" * 100_000)
    assert wire.calls[2:] == [head, b"x" * 100_000]
    together.write(head)
    together.close()
    assert wire.calls[4:] == [head, b"closed"]
