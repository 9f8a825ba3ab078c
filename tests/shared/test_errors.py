"""The exception tree and its two statuses."""

import grpc
import pytest
from tandem import errors
from tandem.errors import HTTP_STATUS, from_status

MATRIX = [  # class, gRPC status, HTTP status: wire.md's error matrix
    (errors.InvalidInput, "INVALID_ARGUMENT", 400),
    (errors.FailedPrecondition, "FAILED_PRECONDITION", 400),
    (errors.UnsupportedMediaType, "INVALID_ARGUMENT", 415),
    (errors.Unauthenticated, "UNAUTHENTICATED", 401),
    (errors.PermissionDenied, "PERMISSION_DENIED", 403),
    (errors.NotFound, "NOT_FOUND", 404),
    (errors.Overloaded, "RESOURCE_EXHAUSTED", 429),
    (errors.PayloadTooLarge, "RESOURCE_EXHAUSTED", 413),
    (errors.Unavailable, "UNAVAILABLE", 503),
    (errors.DeadlineExceeded, "DEADLINE_EXCEEDED", 504),
    (errors.Cancelled, "CANCELLED", 499),
    (errors.Unimplemented, "UNIMPLEMENTED", 501),
    (errors.Internal, "INTERNAL", 500),
]


@pytest.mark.parametrize(("cls", "status", "http"), MATRIX)
def test_each_error_has_its_two_statuses_and_its_text(cls, status, http):
    error = cls("what is wrong")
    assert (error.status.name, error.http_status) == (status, http)
    assert error.message == str(error) == "what is wrong"


def test_the_matrix_has_every_class():
    assert {row[0] for row in MATRIX} | {errors.TandemError} == {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.TandemError)
    }


@pytest.mark.parametrize("status", list(grpc.StatusCode))
def test_every_grpc_status_has_an_http_status(status):
    assert (HTTP_STATUS[status] == 200) is (status is grpc.StatusCode.OK)
    assert 200 <= HTTP_STATUS[status] < 600


@pytest.mark.parametrize(
    ("cls", "seconds"), [(errors.Overloaded, 1), (errors.Unavailable, None), (errors.InvalidInput, None)]
)
def test_only_a_full_queue_says_by_itself_when_to_come_back(cls, seconds):
    assert cls("no").retry_after == seconds
    assert cls("no", retry_after=7).retry_after == 7


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        ("INVALID_ARGUMENT", errors.InvalidInput),
        ("OUT_OF_RANGE", errors.InvalidInput),
        ("FAILED_PRECONDITION", errors.FailedPrecondition),
        ("NOT_FOUND", errors.NotFound),
        ("RESOURCE_EXHAUSTED", errors.Overloaded),
        ("UNAVAILABLE", errors.Unavailable),
        ("DEADLINE_EXCEEDED", errors.DeadlineExceeded),
        ("CANCELLED", errors.Cancelled),
        ("UNIMPLEMENTED", errors.Unimplemented),
        ("INTERNAL", errors.Internal),
        ("UNKNOWN", errors.Internal),
        ("DATA_LOSS", errors.Internal),
        ("UNAUTHENTICATED", errors.Unauthenticated),
        ("PERMISSION_DENIED", errors.PermissionDenied),
        ("ABORTED", errors.Internal),
        ("ALREADY_EXISTS", errors.Internal),
    ],
)
def test_a_peers_status_becomes_the_error_that_stands_for_it(status, cls):
    error = from_status(grpc.StatusCode[status], "the peer's words")
    assert type(error) is cls
    assert error.message == "the peer's words"


@pytest.mark.parametrize(
    "text",
    [
        "Received message larger than max (70000000 vs. 67108864)",
        "Sent message larger than max (5 vs. 4)",
        "CLIENT: Received message larger than max (5 vs. 4)",
    ],
)
def test_grpcs_words_for_a_large_message_are_a_payload_too_large(text):
    assert type(from_status(grpc.StatusCode.RESOURCE_EXHAUSTED, text)) is errors.PayloadTooLarge
