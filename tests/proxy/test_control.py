from __future__ import annotations

import socket

import pytest

from guard.proxy.control import Control, settings_data, settings_from
from guard.settings import Settings

pytestmark = pytest.mark.anyio

FULL = {
    "host": "0.0.0.0",
    "port": 1,
    "workers": 4,
    "watch": True,
    "policy": "./house.yaml",
    "upstream": {
        "url": "http://127.0.0.1:8000",
        "api_key": "sk-secret",
        "models": ["qwq", "other"],
        "start_state": {"qwq*": "reasoning"},
        "timeouts": {"connect": 1.5},
    },
    "limits": {"body_bytes": "1MiB"},
    "allow_response_fields": ["citations"],
}


async def pair() -> tuple[Control, Control]:
    ours, theirs = socket.socketpair()
    return await Control.over(ours), await Control.over(theirs)


async def test_messages_arrive_whole_and_in_order() -> None:
    parent, worker = await pair()
    long = "line\nbreak, ümlaut, \x00 and 🜁 " * 100_000
    parent.say(do="prepare", number=1, policy={"name": long})
    parent.say(do="drain")
    assert await worker.hear() == {"do": "prepare", "number": 1, "policy": {"name": long}}
    assert await worker.hear() == {"do": "drain"}
    worker.say(number=1, ok=True)
    assert await parent.hear() == {"number": 1, "ok": True}
    await parent.close()
    await worker.close()


async def test_an_end_that_is_gone_is_heard_after_its_last_words() -> None:
    parent, worker = await pair()
    worker.say(said="failed", says="no")
    await worker.close()
    assert await parent.hear() == {"said": "failed", "says": "no"}
    assert await parent.hear() is None
    parent.say(do="drain")  # is lost, and nothing more
    assert await parent.hear() is None
    await parent.close()
    parent.say(do="drain")


async def test_half_a_message_is_none() -> None:
    ours, theirs = socket.socketpair()
    parent = await Control.over(ours)
    theirs.sendall(b'{"said": "listen')
    theirs.close()
    assert await parent.hear() is None
    await parent.close()


@pytest.mark.parametrize("given", [{}, FULL])
async def test_settings_come_out_as_they_went_in(given: dict[str, object]) -> None:
    settings = Settings.load(env={}, overrides=given)
    parent, worker = await pair()
    parent.say(settings=settings_data(settings))
    heard = await worker.hear()
    assert heard is not None
    again = settings_from(heard["settings"])
    assert again == settings
    if settings.upstream is not None and settings.upstream.api_key is not None:
        assert again.upstream is not None
        assert again.upstream.api_key is not None
        assert again.upstream.api_key.get_secret_value() == "sk-secret"
    await parent.close()
    await worker.close()
