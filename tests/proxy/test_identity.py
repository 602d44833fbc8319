from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from guard.proxy.identity import identify

ENVOY = "a7d5b7c4-6f0e-4b8a-9c1e-2f3d4e5f6a7b"
NGINX = "444535f9378a3dfa1b8604bc9e05a303"


def headers(*values: str) -> Headers:
    return Headers(raw=[(b"x-request-id", value.encode("latin-1")) for value in values])


@pytest.mark.parametrize("given", [ENVOY, NGINX, "req-1", "0", "Root=1-67891233-abcdef012345678912345678", "a" * 128])
def test_a_well_formed_id_is_kept(given: str) -> None:
    identity = identify(headers(given))
    assert identity.request_id == given
    assert identity.stream_id not in ("", given)


@pytest.mark.parametrize(
    "given",
    ["", " ", "a" * 129, "a b", 'a"b', "a\nb", "a\x1b[31m", "é", "-a", "a,b", "a;b", "a\\b", "a<b", "a\x7f", "a{b}"],
)
def test_a_malformed_id_is_replaced(given: str) -> None:
    identity = identify(headers(given))
    assert identity.request_id == identity.stream_id


@pytest.mark.parametrize("values", [(), (ENVOY, NGINX), (ENVOY, ENVOY)])
def test_none_or_two_ids_are_replaced(values: tuple[str, ...]) -> None:
    identity = identify(headers(*values))
    assert identity.request_id == identity.stream_id


def test_an_operator_can_insist_on_the_guards_own() -> None:
    identity = identify(headers(ENVOY), accept=False)
    assert identity.request_id == identity.stream_id != ENVOY


def test_the_guards_own_never_repeats() -> None:
    assert len({identify(headers(ENVOY)).stream_id for _ in range(100)}) == 100


@given(st.text(st.characters(max_codepoint=255), max_size=140))
def test_whatever_is_sent_a_request_id_is_safe_to_write_anywhere(given: str) -> None:
    request_id = identify(headers(given)).request_id
    assert request_id.isascii()
    assert request_id.isprintable()
    assert not set(request_id) & set(" \"'\\<>,;{}")
