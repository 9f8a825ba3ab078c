"""Errors as gRPC statuses, through a real server."""

import asyncio
import logging
from functools import partial

import grpc
import pytest
from shared.fakes import grpc_channel
from tandem import errors
from tandem.doors.translation import INTERNAL, translated
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc


class Failing(pb_grpc.GRPCInferenceServiceServicer):
    """Raises `error` in ServerLive; ServerReady aborts by itself; the rest is not implemented."""

    def __init__(self, error):
        self.error = error

    async def ServerLive(self, request, context):  # noqa: N802 - gRPC names the method
        raise self.error

    async def ServerReady(self, request, context):  # noqa: N802 - the same
        await context.abort(grpc.StatusCode.ALREADY_EXISTS, "its own words")


async def status_of(error, method="ServerLive", message=pb.ServerLiveRequest()):  # noqa: B008 - never changed
    """The status, the text and the trailing metadata with which a call ends that raises `error`."""
    add = partial(pb_grpc.add_GRPCInferenceServiceServicer_to_server, Failing(error))
    async with grpc_channel(add) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await getattr(pb_grpc.GRPCInferenceServiceStub(channel), method)(message, timeout=10)
    return failed.value.code(), failed.value.details(), dict(failed.value.trailing_metadata())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("tensor 'é': wrong"), "INVALID_ARGUMENT"),
        (errors.NotFound("no such model"), "NOT_FOUND"),
        (errors.PayloadTooLarge("too large"), "RESOURCE_EXHAUSTED"),
        (errors.Unavailable("not ready"), "UNAVAILABLE"),
        (errors.DeadlineExceeded("too late"), "DEADLINE_EXCEEDED"),
        (errors.Unimplemented("not here"), "UNIMPLEMENTED"),
        (errors.Internal("a fault"), "INTERNAL"),
    ],
)
async def test_an_error_of_ours_is_its_status_and_its_text(error, status):
    code, details, trailing = await status_of(error)
    assert (code.name, details) == (status, error.message)
    assert "retry-after" not in trailing


@pytest.mark.parametrize("error", [errors.Overloaded("full"), errors.Unavailable("down", retry_after=1)])
async def test_when_to_come_back_is_trailing_metadata(error):
    _, _, trailing = await status_of(error)
    assert trailing["retry-after"] == "1"


async def test_an_unknown_error_is_a_fixed_text_and_its_traceback_is_in_the_log(caplog):
    code, details, _ = await status_of(OSError("/secret/path"))
    assert (code, details) == (grpc.StatusCode.INTERNAL, INTERNAL)
    (line,) = [record for record in caplog.records if record.name == "tandem.grpc"]
    assert line.levelno == logging.ERROR
    assert "/secret/path" in str(line.exc_info[1])


async def test_a_status_that_a_method_gives_itself_is_kept(caplog):
    code, details, _ = await status_of(None, "ServerReady", pb.ServerReadyRequest())
    assert (code, details) == (grpc.StatusCode.ALREADY_EXISTS, "its own words")
    assert not caplog.records


async def test_an_unknown_method_is_left_to_grpc():
    add = partial(pb_grpc.add_GRPCInferenceServiceServicer_to_server, Failing(None))
    async with grpc_channel(add) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary("/inference.GRPCInferenceService/Guess")(b"", timeout=10)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_answer_passes_unchanged_each_time():
    class Answering(Failing):
        async def ServerLive(self, request, context):  # noqa: N802 - gRPC names the method
            return pb.ServerLiveResponse(live=True)

    add = partial(pb_grpc.add_GRPCInferenceServiceServicer_to_server, Answering(None))
    async with grpc_channel(add) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        assert [(await stub.ServerLive(pb.ServerLiveRequest(), timeout=10)).live for _ in range(3)] == [True] * 3


async def test_a_cancellation_is_never_turned_into_another_exception():
    async def behaviour(request, context):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await translated(behaviour)(None, None)
