"""Threads for the functions of the host: what hangs there hangs for nobody else (promise A-01)."""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from legato.agents.threads import Threads
from legato.core.errors import Busy

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-01")]

_HANGS = """
import asyncio, threading
from legato.agents.threads import Threads

async def main():
    try:
        await Threads().call(threading.Event().wait, 0.01)
    except TimeoutError:
        print("over")

asyncio.run(main())
"""


class Gate:
    """A function that hangs until it is let go; ``entered`` tells that it has begun."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = threading.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> str:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self.released.wait(60)
        return "through"


async def test_there_is_a_thread_for_each_call_and_a_place_again_when_it_has_ended() -> None:
    threads = Threads(most=2)
    for _ in range(2):
        gates = [Gate(), Gate()]
        calls = [asyncio.ensure_future(threads.call(gate)) for gate in gates]
        for gate in gates:
            await gate.entered.wait()
        for gate in gates:
            gate.released.set()
        assert await asyncio.gather(*calls) == ["through", "through"]


async def test_who_finds_no_place_in_time_does_not_begin() -> None:
    threads, gate = Threads(most=1, patience_s=0.01), Gate()
    with pytest.raises(TimeoutError):
        await threads.call(gate, 0.01)  # it hangs, though nobody waits for it any more

    with pytest.raises(Busy, match="this was not begun"):
        await threads.call(lambda: pytest.fail("it was begun"))

    async def other() -> str:
        return "needs no thread"

    assert await threads.call(other) == "needs no thread"
    gate.released.set()


async def test_waiting_for_a_place_takes_nothing_of_a_call_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, gate = Threads(most=1, patience_s=1e9), Gate()
    first = asyncio.ensure_future(threads.call(gate))
    await gate.entered.wait()
    second = asyncio.ensure_future(threads.call(lambda: "done", 60))
    await asyncio.sleep(0)  # it waits
    loop = asyncio.get_running_loop()
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + 3_600)

    gate.released.set()

    assert (await first, await second) == ("through", "done")


async def test_what_it_gives_and_raises_arrives_in_the_context_of_who_calls() -> None:
    threads, who = Threads(), contextvars.ContextVar[str]("who")
    who.set("ann")

    async def later() -> str:
        return who.get()

    assert await threads.call(who.get) == "ann"
    assert await threads.call(lambda: later()) == "ann"
    with pytest.raises(ZeroDivisionError):
        await threads.call(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="StopIteration"):  # nothing that a future could carry
        await threads.call(lambda: next(iter(())))


async def test_a_process_does_not_wait_for_what_hangs() -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _HANGS], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "over\n"


async def test_a_place_is_not_lost_where_the_system_gives_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(most=1, patience_s=0.01)

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="new thread"):
                await threads.call(lambda: None)
    assert await threads.call(lambda: "done") == "done"
