"""The work queue: never twice at once for one key, nothing lost, failures back off."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from dbmigration.api.names import KIND
from dbmigration.handlers.index import CONFIG_MAP, ResourceKey, SourceIndex, Used, used_by
from dbmigration.handlers.queue import Again, WorkQueue

DEADLINE_S = 5


def while_running(queue: WorkQueue[str], scenario: Callable[[], Awaitable[None]]) -> None:
    """Run the queue for as long as the scenario takes."""

    async def both() -> None:
        task = asyncio.create_task(queue.run())
        try:
            await asyncio.wait_for(scenario(), DEADLINE_S)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(both())


class Recorder:
    """Work that notes what it was called for and waits to be let go."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[str] = asyncio.Queue()
        self.finished: asyncio.Queue[str] = asyncio.Queue()
        self.gate = asyncio.Semaphore(0)
        self.active: list[str] = []
        self.overlapped = False

    async def __call__(self, key: str) -> timedelta | None:
        self.overlapped |= key in self.active
        self.active.append(key)
        self.started.put_nowait(key)
        await self.gate.acquire()
        self.active.remove(key)
        self.finished.put_nowait(key)
        return None


def test_events_during_work_are_one_more_look_afterwards_and_never_at_the_same_time() -> None:
    async def scenario() -> None:
        queue.add("a")
        assert await work.started.get() == "a"
        for _ in range(5):
            queue.add("a")
        queue.add("b")
        assert await work.started.get() == "b"
        assert work.started.empty()
        work.gate.release()
        work.gate.release()
        assert await work.started.get() == "a"
        work.gate.release()
        assert [await work.finished.get() for _ in range(3)] == ["a", "b", "a"]
        assert work.started.empty()

    work = Recorder()
    queue: WorkQueue[str] = WorkQueue(work, workers=4)
    while_running(queue, scenario)
    assert not work.overlapped


def test_no_more_than_so_many_at_a_time() -> None:
    async def scenario() -> None:
        for key in "abcdef":
            queue.add(key)
        for _ in range(2):
            await work.started.get()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(work.active) == 2
        for expected in range(4):
            work.gate.release()
            await work.started.get()
            assert len(work.active) <= 2, expected

    work = Recorder()
    queue: WorkQueue[str] = WorkQueue(work, workers=2)
    while_running(queue, scenario)


def test_work_is_called_again_after_the_time_it_asked_for() -> None:
    calls: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> timedelta | None:
        calls.append(key)
        if len(calls) == 3:
            done.set()
            return None
        return timedelta(milliseconds=1)

    async def scenario() -> None:
        queue.add("a")
        await done.wait()

    queue: WorkQueue[str] = WorkQueue(work, workers=1)
    while_running(queue, scenario)
    assert calls == ["a", "a", "a"]


def test_failures_of_a_key_back_off_up_to_a_minute_and_a_success_forgets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: asyncio.Queue[float] = asyncio.Queue()
    failing = True
    done = asyncio.Event()

    async def work(key: str) -> timedelta | None:
        if failing:
            raise Again
        done.set()
        return None

    async def scenario() -> None:
        nonlocal failing
        loop = asyncio.get_running_loop()
        original = loop.call_later

        def at_once(delay: float, callback: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
            if arguments == ("a",):
                delays.put_nowait(delay)
                delay = 0
            return original(delay, callback, *arguments)

        monkeypatch.setattr(loop, "call_later", at_once)
        queue.add("a")
        assert [await delays.get() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        failing = False
        await done.wait()
        failing = True
        while not delays.empty():
            delays.get_nowait()
        queue.add("a")
        assert await delays.get() == 1

    queue: WorkQueue[str] = WorkQueue(work, workers=1)
    while_running(queue, scenario)


def test_a_bug_ends_the_queue_instead_of_going_unnoticed() -> None:
    async def work(key: str) -> timedelta | None:
        raise ValueError(key)

    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue(work, workers=2)
        queue.add("a")
        await asyncio.wait_for(queue.run(), DEADLINE_S)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(scenario())
    assert caught.group_contains(ValueError, match="a")


def test_index_finds_those_that_come_after_a_resource() -> None:
    index = SourceIndex()
    staging, one, two = ResourceKey("staging", "studio"), ResourceKey("studio", "one"), ResourceKey("studio", "two")
    after = {"promotion": {"after": {"namespace": "staging", "name": "studio"}}}
    index.remember(one, used_by("studio", after))
    index.remember(two, used_by("studio", after))
    assert index.users(KIND, staging.namespace, staging.name) == {one, two}
    index.remember(one, frozenset())
    index.forget(two)
    index.forget(two)
    assert index.users(KIND, staging.namespace, staging.name) == frozenset()


def files(*names: str) -> frozenset[Used]:
    return used_by("studio", {"source": {"configMaps": [{"name": name} for name in names]}})


def test_index_finds_the_users_of_a_config_map() -> None:
    index = SourceIndex()
    one, two = ResourceKey("studio", "one"), ResourceKey("studio", "two")
    index.remember(one, files("files", "more"))
    index.remember(two, files("files"))
    assert index.users(CONFIG_MAP, "studio", "files") == {one, two}
    assert index.users(CONFIG_MAP, "other", "files") == frozenset()
    index.remember(one, files("more"))
    assert index.users(CONFIG_MAP, "studio", "files") == {two}
    index.forget(two)
    index.forget(two)
    assert index.users(CONFIG_MAP, "studio", "files") == frozenset()
    assert index.users(CONFIG_MAP, "studio", "more") == {one}


def test_index_finds_the_users_of_a_source_of_flux_in_another_namespace() -> None:
    index = SourceIndex()
    one = ResourceKey("studio", "one")
    index.remember(one, used_by("studio", {"source": {"fluxRef": {"kind": "GitRepository", "namespace": "flux-system", "name": "app"}}}))
    assert index.users("GitRepository", "flux-system", "app") == {one}
    assert index.users("Bucket", "flux-system", "app") == frozenset()
