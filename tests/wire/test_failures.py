from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.failures import LONGEST_MESSAGE, SENTENCES, failed, find_failure, upstream_refusal


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"code": "context_length_exceeded"}, "context_length_exceeded"),
        ({"type": "exceed_context_size_error", "code": 400}, "context_length_exceeded"),
        ({"code": 400, "message": "This model's maximum context length is 4096 tokens."}, "context_length_exceeded"),
        ({"code": 400, "message": "the request exceeds the available context size"}, "context_length_exceeded"),
        ({"message": "context window exceeded"}, "context_length_exceeded"),
        ({"code": "insufficient_quota"}, "rate_limit"),
        ({"code": "Throttling.RateQuota"}, "rate_limit"),
        ({"type": "TooManyRequests"}, "rate_limit"),
        ({"code": 529}, "server_overloaded"),
        ({"code": "data_inspection_failed"}, "content_filter"),
        ({"code": "invalid_api_key"}, "authentication"),
        ({"code": 403}, "authentication"),
        ({"type": "NotFoundError", "code": 404}, "model_not_found"),
        ({"type": "BadRequestError", "code": 400}, "invalid_request"),
        ({"type": "internal_server_error", "code": 500}, "server_error"),
        ({"code": None, "type": ["odd"], "message": ["odd"]}, "server_error"),
        ({"message": "I will now tell you about the context."}, "server_error"),
    ],
)
def test_codes(words: dict[str, Any], code: str) -> None:
    assert find_failure({"error": words}) == failed(code)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": [], "error": None},
        {"choices": [], "code": 1, "message": "m", "detail": "d"},
        {"object": "chat.completion.chunk"},
        {"message": "m"},
        {"code": "", "message": ""},
        {"detail": ""},
    ],
)
def test_no_failure(body: dict[str, Any]) -> None:
    assert find_failure(body) is None
    assert find_failure(body, named=True) is not None


@given(st.text(), st.text())
def test_upstreams_text_is_never_passed_on(message: str, code: str) -> None:
    failure = find_failure({"error": {"message": message, "code": code}})
    assert failure is not None
    assert failure.message == SENTENCES[failure.code]


ERROR = {"error": {"message": "max_tokens must be at least 1", "type": "BadRequestError", "code": 400}}
LONG = {"error": {"message": "the request exceeds the available context size"}}
HTML = b"<html><body>Bad Gateway"


@pytest.mark.parametrize(
    ("status", "body", "answered", "code", "retry", "message"),
    [
        (400, ERROR, 400, "invalid_request", False, "max_tokens must be at least 1"),
        (404, ERROR, 404, "model_not_found", False, "max_tokens must be at least 1"),
        (413, ERROR, 413, "invalid_request", False, "max_tokens must be at least 1"),
        (422, ERROR, 422, "invalid_request", False, "max_tokens must be at least 1"),
        (429, ERROR, 429, "rate_limit", True, "max_tokens must be at least 1"),
        (409, ERROR, 502, "invalid_request", False, "max_tokens must be at least 1"),
        (400, LONG, 400, "context_length_exceeded", False, "the request exceeds the available context size"),
        (400, {"object": "error", "message": "m"}, 400, "invalid_request", False, "m"),
        (400, {"error": "m"}, 400, "invalid_request", False, "m"),
        (400, {"code": "c", "message": "m"}, 400, "invalid_request", False, "m"),
        (400, {"detail": "m"}, 400, "invalid_request", False, "m"),
        (
            422,
            {"detail": [{"loc": ["body", "n"], "msg": "too big"}, {"msg": "odd"}, "x"]},
            422,
            "invalid_request",
            False,
            "body.n: too big; body: odd",
        ),
        (500, ERROR, 502, "invalid_request", True, f"The model server answered 500. {SENTENCES['invalid_request']}"),
        (
            503,
            ERROR,
            503,
            "server_overloaded",
            True,
            f"The model server answered 503. {SENTENCES['server_overloaded']}",
        ),
        (
            502,
            HTML,
            502,
            "server_error",
            True,
            "The model server answered 502 with an HTML page; is the upstream URL right?",
        ),
        (
            302,
            b"",
            502,
            "server_error",
            True,
            "The model server answered 302 with an empty body; is the upstream URL right?",
        ),
        (
            500,
            b"Internal Server Error",
            502,
            "server_error",
            True,
            "The model server answered 500 with a body that is no JSON object; is the upstream URL right?",
        ),
        (
            200,
            {"x": 1},
            502,
            "server_error",
            True,
            "The model server answered 200 with JSON that is not an error we know; is the upstream URL right?",
        ),
        (
            404,
            {"detail": "Not Found"},
            404,
            "model_not_found",
            False,
            'The model server answered 404 with the words "Not Found"; is the upstream URL right?',
        ),
        (
            400,
            {"detail": [{"loc": "odd"}]},
            400,
            "invalid_request",
            False,
            "The model server answered 400 with JSON that is not an error we know; is the upstream URL right?",
        ),
        (
            401,
            {"error": {"message": "Incorrect API key provided: sk-secret"}},
            502,
            "authentication",
            False,
            "The model server did not accept the guard's credentials (401); "
            "the operator should check the upstream API key.",
        ),
    ],
)
def test_refusals(status: int, body: Any, answered: int, code: str, retry: bool, message: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = upstream_refusal(status, data, retry_after="7")
    assert (error.status, error.code, error.retry, error.message) == (answered, code, retry, message)
    assert error.retry_after == ("7" if status in (429, 503) else None)


def test_html_is_known_by_its_type() -> None:
    assert "with an HTML page" in upstream_refusal(502, b"bad gateway", "Text/HTML; charset=utf-8").message


@pytest.mark.parametrize("status", [401, 403])
def test_a_client_whose_own_credentials_are_refused_is_told(status: int) -> None:
    error = upstream_refusal(status, b'{"error": {"message": "bad key"}}', pass_through=True)
    assert (error.status, error.message, error.code, error.retry) == (status, "bad key", "authentication", False)
    page = upstream_refusal(status, HTML, pass_through=True)
    assert page.message == f"The model server answered {status} with an HTML page; is the upstream URL right?"


def test_an_explanation_is_shortened_and_cleaned() -> None:
    message = "a\r\n\tb\x00\x1b[31m\u202e\u200b " + "x" * 5_000
    error = upstream_refusal(400, json.dumps({"error": {"message": message}}).encode())
    assert error.message.startswith("a b[31m x")
    assert len(error.message) == LONGEST_MESSAGE


@given(
    st.integers(100, 599),
    st.binary(max_size=60) | st.dictionaries(st.text(), st.text()).map(json.dumps).map(str.encode),
)
def test_any_refusal_is_answered(status: int, body: bytes) -> None:
    error = upstream_refusal(status, body)
    assert error.message
    assert error.status in (400, 404, 413, 422, 429, 502, 503)
    assert error.code in SENTENCES
