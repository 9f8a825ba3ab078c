"""The flags that both services have."""

import pytest
from tandem import settings
from tandem.doors.settings import DoorSettings

LIMIT = 64 * 2**20


def read(*argv):
    return settings.load(DoorSettings, "tandem-test", "A test.", argv, {})[0]


def test_the_defaults_are_those_of_the_design():
    default = read()
    assert (default.host, default.max_message_bytes, default.workers) == ("", LIMIT, 1)
    assert (default.max_receive, default.max_send) == (LIMIT, LIMIT)


@pytest.mark.parametrize(
    ("argv", "receive", "send"),
    [
        (["--max_message_bytes=5"], 5, 5),
        (["--grpc_max_receive_message_length=7"], 7, LIMIT),
        (["--grpc_max_send_message_length=9"], LIMIT, 9),
        (["--max_message_bytes=5", "--grpc-max-send-message-length=9"], 5, 9),
        (["--max_message_bytes=5", "--grpc_max_receive_message_length=0"], 5, 5),
    ],
)
def test_one_knob_sets_both_sizes_and_kserves_flags_override_it(argv, receive, send):
    assert (read(*argv).max_receive, read(*argv).max_send) == (receive, send)


@pytest.mark.parametrize(
    "argument",
    [
        *("--http_port=65536", "--grpc_port=-1", "--max_message_bytes=0", "--max_message_bytes=2147483648"),
        *("--max_in_flight=0", "--grace=-1", "--grace=nan", "--log_level=verbose", "--log_format=xml", "--workers=0"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(argument):
    _, problems = settings.parse(DoorSettings, "tandem-test", "A test.", [argument], {})
    name, _, value = argument.partition("=")
    assert [problem.partition(", expected ")[0] for problem in problems] == [f"{name}: got '{value}'"]


def test_every_flag_has_a_help_text_and_its_default_passes_its_own_parser():
    for name, item in settings.flags(DoorSettings).items():
        default = DoorSettings.__dataclass_fields__[name].default
        assert item.help
        assert item.parse(str(default)) == default
