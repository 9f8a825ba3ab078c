"""What is compared: the commands of each system, how to reach it and how to tell that it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.compare import environments
from bench.compare.places import MODELS, PEERS, PYTHON, repository
from bench.compare.processes import Command, Failed, free_ports

_MODEL = "custom-model"
_PYTHON_MODEL = ("--allow_python_models",)


@dataclass(frozen=True, slots=True)
class System:
    """A system with its ports chosen, not yet started."""

    name: str
    commands: tuple[Command, ...]
    url: str = ""  # of inference over HTTP
    target: str = ""  # of gRPC
    shape: str = "seed"  # the folder of request bodies that it takes


def tandem(
    name: str, model_dir: Path, predictor: tuple[str, ...] = (), transformer: tuple[str, ...] = (), model: str = _MODEL
) -> System:
    """The pair as a pod has it, on the loopback."""
    http, grpc, predictor_http, predictor_grpc = free_ports(4)
    both = ("--host=127.0.0.1", f"--model_name={model}", "--enable_latency_logging=false")
    ports = (f"--http_port={predictor_http}", f"--grpc_port={predictor_grpc}")
    doors = (f"--http_port={http}", f"--grpc_port={grpc}", f"--predictor_host=127.0.0.1:{predictor_grpc}")
    network = (PYTHON, "-m", "tandem_predictor", *both, *ports, f"--model_dir={model_dir}", "--drain_idle=0.2")
    gateway = (PYTHON, "-m", "tandem_transformer", *both, *doors)
    commands = (
        Command(f"{name}-predictor", (*network, *predictor)),
        Command(f"{name}-transformer", (*gateway, *transformer)),
    )
    return System(name, commands, _v2(http, model), f"127.0.0.1:{grpc}")


def kserve(name: str, predictor: str, transformer: str) -> System:
    """The SDK's pair, with the flags that its users give it."""
    http, grpc, predictor_http, predictor_grpc = free_ports(4)
    both = (f"--model_name={_MODEL}", "--enable_latency_logging=false")
    ports = (f"--http_port={predictor_http}", f"--grpc_port={predictor_grpc}")
    doors = (f"--http_port={http}", f"--grpc_port={grpc}", f"--predictor_host=127.0.0.1:{predictor_grpc}")
    python, hop = environments.python("kserve"), "--predictor_protocol=grpc-v2"
    model = {"MODEL": str(MODELS["floats"])}
    commands = (
        Command(f"{name}-predictor", (python, PEERS / predictor, *both, *ports), model),
        Command(f"{name}-transformer", (python, PEERS / transformer, *both, *doors, hop)),
    )
    return System(name, commands, _v2(http, _MODEL), f"127.0.0.1:{grpc}")


def mosec() -> System:
    """One server, its stages in processes of their own."""
    (http,) = free_ports(1)
    flags = ("--address", "127.0.0.1", "--port", str(http), "--timeout", "30000")
    command = (environments.python("mosec"), PEERS / "mosec_server.py", *flags)
    environment = {"MODEL": str(MODELS["floats"]), "MOSEC_LOG_LEVEL": "warning"}
    return System("mosec", (Command("mosec", command, environment),), f"http://127.0.0.1:{http}/inference")


def triton() -> System:
    """An ensemble of two Python models, which is what the wheel's server can run."""
    http, grpc = free_ports(2)
    if why := environments.unfit_for_triton():
        raise Failed(why)
    home = environments.triton()
    flags = (f"--model-repository={PEERS / 'triton'}", f"--backend-directory={home.backends}", "--allow-metrics=false")
    doors = ("--http-address=127.0.0.1", f"--http-port={http}", "--grpc-address=127.0.0.1", f"--grpc-port={grpc}")
    environment = {"MODEL": str(MODELS["floats"]), **home.environment}
    command = Command("triton", (home.server, *flags, *doors), environment)
    return System("triton", (command,), _v2(http, "pair"), f"127.0.0.1:{grpc}", shape="triton")


def proxy() -> System:
    """Two processes that pass bytes on: what no pair over gRPC can be faster than without a trick."""
    front, back = free_ports(2)
    program = (PYTHON, "-m", "bench.peers.proxy")
    commands = (
        Command("proxy-back", (*program, f"--port={back}")),
        Command("proxy-front", (*program, f"--port={front}", f"--to=127.0.0.1:{back}")),
    )
    return System("proxy", commands, target=f"127.0.0.1:{front}")


def hop(shared_memory: str) -> System:
    """The pair with little at its doors and 6.2 MB between its halves."""
    choice = f"--shared_memory={shared_memory}"
    widen = (f"--transformer={PEERS / 'widen.py'}:Widen", choice)
    return tandem(f"hop-{shared_memory}", PEERS / "tandem_number", (*_PYTHON_MODEL, choice), widen)


def overloaded(rows: int) -> System:
    """The pair with queues short enough to fill within seconds."""
    limits = (f"--max_in_flight={rows}",)
    return tandem("tandem-overload", repository("pixels"), (f"--max_queue_size={rows}",), limits)


def _v2(port: int, model: str) -> str:
    return f"http://127.0.0.1:{port}/v2/models/{model}/infer"


IMAGE_SYSTEMS: dict[str, Callable[[], System]] = {
    "tandem": lambda: tandem("tandem", repository("pixels")),
    "kserve": lambda: kserve("kserve", "kserve_predictor.py", "kserve_transformer.py"),
    "triton": triton,
    "mosec": mosec,
    "tandem-int8": lambda: tandem("tandem-int8", repository("int8")),
}

_IDENTITY = (PEERS / "tandem_identity", _PYTHON_MODEL, ("--transformer=identity",))
NOOP_SYSTEMS: dict[str, Callable[[], System]] = {
    "tandem": lambda: tandem("tandem-noop", *_IDENTITY),
    "kserve": lambda: kserve("kserve-noop", "kserve_identity.py", "kserve_identity.py"),
    "proxy": proxy,
}
