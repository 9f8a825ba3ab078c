"""grpc.health.v1 through a real server."""

from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shared.fakes import grpc_channel
from tandem.doors.health import HealthServicer
from tandem.lifecycle import Readiness

SERVICE = "inference.GRPCInferenceService"
SERVING, NOT_SERVING, UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)


@pytest.fixture
def readiness():
    return Readiness()


@pytest.fixture
async def stub(readiness):
    servicer = HealthServicer(readiness, frozenset({SERVICE}))
    async with grpc_channel(partial(health_pb2_grpc.add_HealthServicer_to_server, servicer)) as channel:
        yield health_pb2_grpc.HealthStub(channel)


def asking(service):
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_a_check_is_the_readiness_of_the_moment(stub, readiness, service):
    part = readiness.part("model", "loading")
    assert (await stub.Check(asking(service), timeout=10)).status == NOT_SERVING
    part.set(None)
    assert (await stub.Check(asking(service), timeout=10)).status == SERVING
    readiness.stop()
    assert (await stub.Check(asking(service), timeout=10)).status == NOT_SERVING


async def test_a_check_of_an_unknown_service_is_not_found(stub):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.Check(asking("elsewhere"), timeout=10)
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watch_shows_the_status_now_and_each_change_and_ends_at_drain(stub, readiness):
    part = readiness.part("model", "loading")
    watch = stub.Watch(asking(SERVICE), timeout=10)
    assert (await watch.read()).status == NOT_SERVING
    part.set(None)
    assert (await watch.read()).status == SERVING
    readiness.stop()
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_a_change_of_the_reason_alone_is_not_shown(stub, readiness):
    part = readiness.part("model", "loading")
    watch = stub.Watch(asking(""), timeout=10)
    assert (await watch.read()).status == NOT_SERVING
    part.set("warming up")
    assert (await stub.Check(asking(""), timeout=10)).status == NOT_SERVING  # by now the watch has woken
    part.set(None)
    assert (await watch.read()).status == SERVING
    readiness.stop()
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF


async def test_a_watch_of_an_unknown_service_says_so_and_stays_open_until_drain(stub, readiness):
    watch = stub.Watch(asking("elsewhere"), timeout=10)
    assert (await watch.read()).status == UNKNOWN
    readiness.stop()
    assert await watch.read() is grpc.aio.EOF


async def test_a_watch_that_opens_during_drain_ends_after_its_first_word(stub, readiness):
    readiness.stop()
    watch = stub.Watch(asking(""), timeout=10)
    assert [answer.status async for answer in watch] == [NOT_SERVING]
