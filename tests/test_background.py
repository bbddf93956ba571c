"""What goes on beside the requests goes on."""

import asyncio
import logging

import pytest

from reminder_worker import background


def test_what_fails_is_said_without_its_words_and_begun_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "PAUSE", 0.0)
    begun = 0

    async def story() -> None:
        again = asyncio.Event()

        async def work() -> None:
            nonlocal begun
            begun += 1
            if begun < 3:
                raise RuntimeError("+33612345678")
            again.set()
            await asyncio.Event().wait()

        async with background.running(work):
            await asyncio.wait_for(again.wait(), 60)

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
    assert begun == 3
    assert [(one.message, one.error) for one in caplog.records if one.name == background.__name__] == [
        ("background_failed", "RuntimeError")
    ] * 2
    assert "+33612345678" not in caplog.text


def test_work_that_is_done_is_not_begun_again() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1

    async def story() -> None:
        async with background.running(work):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(story())
    assert begun == 1


def test_work_ends_with_what_it_stands_beside_where_that_fails_too() -> None:
    async def fails() -> None:
        async with background.running(asyncio.Event().wait):
            await asyncio.sleep(0)
            raise RuntimeError

    async def story() -> int:
        with pytest.raises(RuntimeError):
            await fails()
        return len(asyncio.all_tasks())

    assert asyncio.run(story()) == 1  # itself
