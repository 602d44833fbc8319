from __future__ import annotations

import json

import pytest

from guard.events import FailStream
from guard.proxy.errors import error_response, failure
from guard.wire.errors import RequestError, UpstreamError


@pytest.mark.parametrize(
    ("error", "status", "type", "retry_after"),
    [
        (RequestError("m", code="c", param="p"), 400, "invalid_request_error", None),
        (RequestError("m", status=401, code="c"), 401, "authentication_error", None),
        (RequestError("m", status=404, code="c"), 404, "not_found_error", None),
        (RequestError("m", status=413, code="c"), 413, "invalid_request_error", None),
        (RequestError("m", status=415, code="c"), 415, "invalid_request_error", None),
        (RequestError("m", status=500, code="c"), 500, "server_error", None),
        (RequestError("m", status=503, code="c"), 503, "server_error", "1"),
        (UpstreamError("m", code="c"), 502, "upstream_error", None),
        (UpstreamError("m", code="c", status=503, retry_after="7"), 503, "upstream_error", "7"),
        (UpstreamError("m", code="c", status=504), 504, "upstream_error", None),
        (UpstreamError("m", code="c", status=400), 400, "invalid_request_error", None),
        (UpstreamError("m", code="c", status=404), 404, "not_found_error", None),
        (UpstreamError("m", code="c", status=429, retry_after="20"), 429, "rate_limit_error", "20"),
    ],
)
def test_errors_become_what_openai_clients_read(
    error: RequestError | UpstreamError, status: int, type: str, retry_after: str | None
) -> None:
    response = error_response(error, {"x-guard-policy": "house@v1"})
    assert response.status_code == status
    param = error.param if isinstance(error, RequestError) else None
    assert json.loads(bytes(response.body)) == {"error": {"message": "m", "type": type, "param": param, "code": "c"}}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-guard-policy"] == "house@v1"
    assert response.headers.get("retry-after") == retry_after


@pytest.mark.parametrize("hostile", ["1\r\nx-evil: 1", "\udcff", "soon", "-1", "9" * 400, ""])
def test_what_upstream_says_of_retrying_is_passed_on_only_if_it_is_a_number_or_a_date(hostile: str) -> None:
    response = error_response(UpstreamError("m", status=503, retry_after=hostile), {})
    assert "retry-after" not in response.headers


def test_a_date_to_retry_at_is_passed_on() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert error_response(UpstreamError("m", status=503, retry_after=date), {}).headers["retry-after"] == date


@pytest.mark.parametrize(
    ("code", "status"),
    [("upstream_reset", 502), ("deadline_total", 504), ("deadline_first_byte", 504), ("deadline_detector", 504)],
)
def test_a_failed_stream_that_was_not_begun_is_an_upstream_error(code: str, status: int) -> None:
    error = failure(FailStream(code, "It broke."))
    assert isinstance(error, UpstreamError)
    assert (error.message, error.code, error.status) == ("It broke.", code, status)


def test_a_stream_ended_by_the_guards_own_end_may_be_tried_again() -> None:
    error = failure(FailStream("deadline_shutdown", "The guard is shutting down."))
    assert isinstance(error, RequestError)
    assert (error.code, error.status) == ("shutting_down", 503)
