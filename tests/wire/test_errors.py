from __future__ import annotations

from guard.wire.errors import RequestError, UpstreamError, unreadable


def test_a_request_error_is_the_clients_to_mend() -> None:
    error = RequestError("`n` is 10; at most 4", param="n")
    assert (str(error), error.message, error.status, error.code, error.param) == (
        "`n` is 10; at most 4",
        "`n` is 10; at most 4",
        400,
        "invalid_request",
        "n",
    )


def test_an_upstream_error_lets_another_backend_try() -> None:
    error = UpstreamError("down")
    assert (str(error), error.status, error.code, error.retry, error.retry_after) == (
        "down",
        502,
        "upstream_error",
        True,
        None,
    )


def test_what_cannot_be_read_has_one_code() -> None:
    error = unreadable("an event is not JSON")
    assert error.code == "upstream_protocol"
    assert error.message == "The model server's answer cannot be read: an event is not JSON."
