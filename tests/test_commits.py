"""Many requests, one write: in order, together, each answered for itself."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from reminder_worker.commits import Commits
from reminder_worker.errors import StoreUnavailable


class Disk:
    """Writes down numbers, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def write(self, items: Sequence[int]) -> list[str]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.go_on.wait(60)
        if 13 in items:
            raise StoreUnavailable("full")
        if 99 in items:
            raise ZeroDivisionError
        return [f"wrote {item}" for item in items]


def play(most: int, story: Callable[[Disk, Commits[int, str]], Awaitable[None]]) -> Disk:
    """Run a story beside the writing."""
    disk = Disk()

    async def run() -> None:
        commits = Commits(disk.write, most=most)
        writing = asyncio.create_task(commits.run())
        await story(disk, commits)
        writing.cancel()

    asyncio.run(run())
    return disk


async def begin(disk: Disk, commits: Commits[int, str]) -> "asyncio.Task[list[str]]":
    """Let a first write begin, and not end."""
    first = asyncio.create_task(commits.put([1]))
    await asyncio.to_thread(disk.begun.wait, 20)
    return first


def test_what_arrives_during_a_write_is_written_together_and_answered_apart() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        first = await begin(disk, commits)
        others = [asyncio.create_task(commits.put([number, -number])) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        disk.go_on.set()
        assert await first == ["wrote 1"]
        assert await asyncio.gather(*others) == [[f"wrote {n}", f"wrote {-n}"] for n in (2, 3, 4)]

    assert play(100, story).batches == [[1], [2, -2, 3, -3, 4, -4]]


def test_a_write_has_no_more_than_so_many_items() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        disk.go_on.set()
        assert await commits.put(range(7)) == [f"wrote {number}" for number in range(7)]

    assert play(3, story).batches == [[0, 1, 2], [3, 4, 5], [6]]


def test_nothing_to_write_needs_no_write() -> None:
    async def story(_: Disk, commits: Commits[int, str]) -> None:
        assert await commits.put([]) == []

    assert play(3, story).batches == []


def test_who_has_gone_holds_up_nobody_and_is_written_all_the_same() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        first = await begin(disk, commits)
        gone, stays = (asyncio.create_task(commits.put([number])) for number in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        first.cancel()
        disk.go_on.set()
        assert await stays == ["wrote 3"]
        assert await commits.put([4]) == ["wrote 4"]

    assert play(100, story).batches == [[1], [2, 3], [4]]


def test_a_write_that_fails_is_told_to_all_who_wait_for_it_and_to_nobody_else() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        first = await begin(disk, commits)
        others = [asyncio.create_task(commits.put([number])) for number in (12, 13, 14)]
        await asyncio.sleep(0)
        others[2].cancel()
        disk.go_on.set()
        assert await first == ["wrote 1"]
        for one in others[:2]:
            with pytest.raises(StoreUnavailable, match="full"):
                await one
        assert await commits.put([15]) == ["wrote 15"]

    assert play(100, story).batches == [[1], [12, 13, 14], [15]]


def test_an_item_that_cannot_be_written_spoils_it_for_nobody_else() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        first = await begin(disk, commits)
        others = [asyncio.create_task(commits.put([number])) for number in (2, 99, 3)]
        await asyncio.sleep(0)
        disk.go_on.set()
        assert await first == ["wrote 1"]
        with pytest.raises(ZeroDivisionError):
            await others[1]
        assert [await others[0], await others[2]] == [["wrote 2"], ["wrote 3"]]

    assert play(100, story).batches == [[1], [2, 99, 3], [2], [99], [3]]


def test_a_write_that_answers_too_few_leaves_nobody_waiting() -> None:
    async def story() -> None:
        commits: Commits[int, str] = Commits(lambda items: ["wrote"] * (len(items) - 1), most=100)
        writing = asyncio.create_task(commits.run())
        with pytest.raises(ValueError, match="shorter"):
            await asyncio.wait_for(commits.put([1, 2]), 20)
        assert not writing.done()
        writing.cancel()

    asyncio.run(story())


def test_the_thread_that_writes_ends_with_the_work() -> None:
    async def story(disk: Disk, commits: Commits[int, str]) -> None:
        disk.go_on.set()
        assert await commits.put([1]) == ["wrote 1"]

    before = {thread.ident for thread in threading.enumerate()}
    play(10, story)
    left = [one for one in threading.enumerate() if one.ident not in before and one.name.startswith("commits")]
    for thread in left:
        thread.join(10)
    assert not [thread for thread in left if thread.is_alive()]
