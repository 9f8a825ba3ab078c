"""Which headers go on to the predictor."""

from __future__ import annotations

import pytest
from tandem.deadline import Deadline
from tandem.inference import Call
from tandem_transformer.hop.forwarding import TRACING, Forwarding, names


def call(**headers: str) -> Call:
    return Call("http", "m", Deadline.after(None), {name.replace("_", "-"): value for name, value in headers.items()})


def test_tracing_goes_on_and_nothing_else() -> None:
    made = call(traceparent="00-1-2-01", authorization="Bearer x", x_tenant="a", cookie="c")
    assert Forwarding().of(made) == {"traceparent": "00-1-2-01"}


def test_what_the_flag_names_goes_on_beside_tracing() -> None:
    allowed = Forwarding(names(" X-Tenant,authorization , traceparent"))
    made = call(traceparent="t", authorization="Bearer x", x_tenant="a", x_other="b")
    assert allowed.of(made) == {"traceparent": "t", "x-tenant": "a", "authorization": "Bearer x"}


def test_our_own_value_wins_over_the_callers() -> None:
    allowed = Forwarding(("authorization",))
    assert allowed.of(call(authorization="Bearer theirs"), authorization="Bearer ours") == {
        "authorization": "Bearer ours"
    }


@pytest.mark.parametrize("value", ["é", "a\nb", "x" * 1025])
def test_a_value_that_no_header_can_carry_is_left_out(value: str) -> None:
    assert Forwarding(("x-tenant",)).of(call(x_tenant=value)) == {}


@pytest.mark.parametrize(
    "text", ["Host", "content-length", "grpc-timeout", "x-tandem-pending", "a b", "a-bin", "ä", "-"]
)
def test_a_name_that_cannot_go_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="header"):
        names(text)


def test_the_names_of_tracing_could_be_named() -> None:
    assert names(",".join(TRACING)) == TRACING
