"""One inference over either door that can be left, reset, or read late. Its outcome is a gRPC status or one below."""

from __future__ import annotations

import http.client
import itertools
import json
import select
import socket
import struct
from dataclasses import dataclass, field
from functools import cached_property

import grpc
import numpy as np
from contract.doors import CODES
from faults.matrix.model import WAIT
from faults.matrix.proxy import Proxy
from faults.matrix.stations import LARGE
from gates import PATIENCE
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

WRONG = "WRONG"  # what is never expected
LEFT = "LEFT"  # the caller did not wait for one
CUT = "CUT"  # the connection ended before the answer did
MODEL = "numbers"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Asked:
    """What is asked, for a number that no other request has."""

    wait: str = ""  # the transformer's step at whose gate it waits
    seconds: float | None = None  # until its deadline
    slow: bool = False  # whether it waits at the gate in the model
    large: bool = False  # whether its answer is
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def row(self) -> list[float]:
        return [float(self.number), WAIT if self.slow else 0.0]

    def outcome_of(self, raw: bytes) -> str:
        """OK if these are the bytes of the right answer."""
        values = np.frombuffer(raw, np.float32)
        if self.large:
            return "OK" if values.size == LARGE and np.all(values == 2 * self.number + 1) else WRONG
        return "OK" if values.tolist() == [2 * number + 1 for number in self.row] else WRONG


class HttpCall:
    """A connection of its own. Of an incomplete body, the last byte comes with `complete`."""

    protocol = "http"

    def __init__(self, port: int, asked: Asked, *, complete: bool = True) -> None:
        self.asked = asked
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", port))
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._connection.auto_open = 0
        self._connection.sock = self._socket = plain
        self._answer: http.client.HTTPResponse | None = None
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": asked.row}
        output = {"name": "y", "parameters": {"binary_data": True}}
        parameters = {"wait": asked.wait, "large": asked.large}
        body = json.dumps({"inputs": [tensor], "outputs": [output], "parameters": parameters}).encode()
        self._connection.putrequest("POST", f"/v2/models/{MODEL}/infer")
        self._connection.putheader("Content-Length", str(len(body)))
        if asked.seconds:
            self._connection.putheader("x-request-timeout-ms", str(round(asked.seconds * 1e3)))
        self._connection.endheaders(body if complete else body[:-1])
        self._rest = b"" if complete else body[-1:]

    @property
    def done(self) -> bool:
        """Whether there is something of an answer."""
        return self._answer is not None or bool(select.select([self._socket], [], [], 0)[0])

    def complete(self) -> None:
        """Send the rest of the body, if that is still wanted."""
        if "outcome" not in vars(self):
            self._connection.send(self._rest)

    def until_answered(self) -> None:
        """Read the head of the answer, and nothing behind it."""
        self._answer = self._connection.getresponse()

    @cached_property
    def outcome(self) -> str:
        """Waits for it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)  # it was small to hold an answer up
        try:
            answer = self._answer or self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return CUT
        finally:
            self._close()
        if answer.status != 200:
            return CODES[answer.status]
        return self.asked.outcome_of(body[int(answer.headers["Inference-Header-Content-Length"]) :])

    def leave(self) -> None:
        self.outcome = LEFT
        self._close()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave()

    def _close(self) -> None:
        if self._answer:
            self._answer.close()
        self._connection.close()
        self._socket.close()


class GrpcCall:
    """A channel of its own, through a proxy."""

    protocol = "grpc"

    def __init__(self, proxy: Proxy, asked: Asked) -> None:
        self.asked = asked
        self._proxy = proxy
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{proxy.port}", options)
        request = pb.ModelInferRequest(
            model_name=MODEL, raw_input_contents=[np.array([asked.row], np.float32).tobytes()]
        )
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        request.parameters["wait"].string_param = asked.wait
        request.parameters["large"].bool_param = asked.large
        stub = pb_grpc.GRPCInferenceServiceStub(self._channel)
        self._future = stub.ModelInfer.future(request, timeout=asked.seconds or PATIENCE)

    @property
    def done(self) -> bool:
        return self._future.done()

    def until_answered(self) -> None:
        """Until the proxy holds the answer back."""
        assert self._proxy.held.wait(PATIENCE)

    @cached_property
    def outcome(self) -> str:
        """Waits for it."""
        try:
            return self.asked.outcome_of(self._future.result().raw_output_contents[0])
        except grpc.RpcError as error:
            return error.code().name
        finally:
            self._channel.close()

    def leave(self) -> None:
        self.outcome = LEFT
        self._future.cancel()
        self._channel.close()

    def reset(self) -> None:
        self._proxy.reset()
        assert self.outcome == "UNAVAILABLE"
        self.outcome = LEFT


Call = HttpCall | GrpcCall
