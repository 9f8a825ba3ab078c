"""Flags and variables as one settings object."""

from dataclasses import FrozenInstanceError, dataclass

import pytest
from tandem.settings import boolean, choice, describe, flag, integer, load, normalise, number, parse, text, variable

PROGRAM = "tandem-test"


@dataclass(frozen=True, slots=True)
class Settings:
    host: str = flag("", text, "where to listen", "ports")
    http_port: int = flag(8080, integer(0, 65535), "port of HTTP", "ports")
    delay: float = flag(0.5, number(0, 10), "100 % of the wait")
    mode: str = flag("auto", choice("auto", "on"), "how")
    quiet: bool = flag(False, boolean, "say less")


def read(*argv, **environ):
    """The settings from flags and variables without a problem."""
    return load(Settings, PROGRAM, "A test.", argv, environ)[0]


def problems(*argv, **environ):
    return parse(Settings, PROGRAM, "A test.", argv, environ)[1]


def warnings(*argv):
    return parse(Settings, PROGRAM, "A test.", argv, {})[0].warnings


def test_without_flags_the_defaults_hold():
    assert read() == Settings("", 8080, 0.5, "auto", False)


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        read().http_port = 1


@pytest.mark.parametrize(
    "argv",
    [
        ["--http_port=81"],
        ["--http-port=81"],
        ["--http_port", "81"],
        ["--http-port", "81"],
        ["--http_port=5", "--http_port=81"],
    ],
)
def test_a_flag_is_taken_with_hyphens_or_underscores_and_with_or_without_an_equals_sign(argv):
    assert read(*argv).http_port == 81


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (["--quiet"], True),
        (["--quiet=true"], True),
        (["--quiet", "True"], True),
        (["--quiet=1"], True),
        (["--quiet=false"], False),
        (["--quiet", "0"], False),
        (["--quiet", "--http_port=81"], True),
    ],
)
def test_a_boolean_is_bare_or_true_or_false_or_1_or_0(argv, value):
    assert read(*argv).quiet is value


def test_a_value_is_left_alone_whatever_is_in_it():
    assert read("--host=a-b=c_d --e").host == "a-b=c_d --e"
    assert read("--host=").host == ""
    assert read("--host", "").host == ""
    assert normalise("--host-name=a-b") == "--host_name=a-b"
    assert normalise("a-b") == "a-b"


def test_flags_win_over_variables_and_variables_over_defaults():
    environ = {"TANDEM_TEST_HTTP_PORT": "81", "TANDEM_TEST_DELAY": "2", "HTTP_PORT": "83"}
    settings, parsed = load(Settings, PROGRAM, "A test.", ["--http_port=82"], environ)
    assert (settings.http_port, settings.delay, settings.mode) == (82, 2.0, "auto")
    assert parsed.sources["http_port"] == "--http_port"
    assert parsed.sources["delay"] == "TANDEM_TEST_DELAY"
    assert parsed.sources["mode"] == "default"


@pytest.mark.parametrize(
    ("program", "name"),
    [("tandem-predictor", "TANDEM_PREDICTOR_GRPC_PORT"), ("tandem-transformer", "TANDEM_TRANSFORMER_GRPC_PORT")],
)
def test_a_variable_is_named_for_its_program(program, name):
    assert variable(program, "grpc_port") == name


@pytest.mark.parametrize(
    ("flag_name", "value", "expected"),
    [
        ("http_port", "x", "an integer from 0 to 65535"),
        ("http_port", "1.5", "an integer from 0 to 65535"),
        ("http_port", "-1", "an integer from 0 to 65535"),
        ("http_port", "65536", "an integer from 0 to 65535"),
        ("http_port", "", "an integer from 0 to 65535"),
        ("delay", "slow", "a number from 0 to 10"),
        ("delay", "nan", "a number from 0 to 10"),
        ("delay", "inf", "a number from 0 to 10"),
        ("delay", "10.01", "a number from 0 to 10"),
        ("mode", "AUTO", "one of auto, on"),
        ("quiet", "maybe", "true or false"),
    ],
)
def test_a_bad_value_is_one_line_with_its_source_what_was_got_and_what_was_expected(flag_name, value, expected):
    key = f"TANDEM_TEST_{flag_name.upper()}"
    wrong = f"got '{value}', expected {expected}"
    assert problems(f"--{flag_name}={value}") == [f"--{flag_name}: {wrong} (also read from {key})"]
    assert problems(**{key: value}) == [f"{key}: {wrong} (also read from --{flag_name})"]


def test_a_number_without_its_value_is_a_problem():
    assert problems("--http_port") == [
        "--http_port: got no value, expected an integer from 0 to 65535 (also read from TANDEM_TEST_HTTP_PORT)"
    ]
    assert problems("--mode", "--quiet") == [
        "--mode: got no value, expected one of auto, on (also read from TANDEM_TEST_MODE)"
    ]


def test_the_ends_of_a_range_are_in_it():
    assert [read(f"--http_port={value}").http_port for value in (0, 65535)] == [0, 65535]
    assert [read(f"--delay={value}").delay for value in ("0", "10")] == [0.0, 10.0]


def test_all_problems_come_at_once_and_end_the_process_with_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        load(Settings, PROGRAM, "A test.", ["--http_port=x", "--mode=off"], {"TANDEM_TEST_DELAY": "y"})
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tandem-test: --http_port: got 'x', expected an integer from 0 to 65535 (also read from TANDEM_TEST_HTTP_PORT)",
        "tandem-test: TANDEM_TEST_DELAY: got 'y', expected a number from 0 to 10 (also read from --delay)",
        "tandem-test: --mode: got 'off', expected one of auto, on (also read from TANDEM_TEST_MODE)",
    ]


@pytest.mark.parametrize(
    ("argv", "warning"),
    [
        (["--htp_port=81"], "ignored unknown flags: --htp_port (did you mean --http_port?)"),
        (["--http-prot", "81"], "ignored unknown flags: --http_prot (did you mean --http_port?)"),
        (["--http_por=81"], "ignored unknown flags: --http_por (did you mean --http_port?)"),
        (["--zzz"], "ignored unknown flags: --zzz"),
        (["--zzz=1", "--mood=on", "-x"], "ignored unknown flags: -x, --zzz, --mood (did you mean --mode?)"),
    ],
)
def test_unknown_flags_are_one_warning_with_the_nearest_name_and_nothing_else(argv, warning):
    assert warnings(*argv) == [warning]
    assert read(*argv) == Settings()


def test_known_flags_beside_unknown_ones_are_read():
    assert read("--zzz", "5", "--http_port=81", "--yyy").http_port == 81
    assert warnings("--http_port=81") == []


def test_the_effective_settings_are_shown_with_the_source_of_each():
    shown = describe(*load(Settings, PROGRAM, "A test.", ["--quiet"], {"TANDEM_TEST_HTTP_PORT": "81"}))
    rows = [tuple(part.strip() for part in line.split("  # ")) for line in shown.splitlines()]
    assert rows == [
        ("--host=", "default"),
        ("--http_port=81", "TANDEM_TEST_HTTP_PORT"),
        ("--delay=0.5", "default"),
        ("--mode=auto", "default"),
        ("--quiet=true", "--quiet"),
    ]
    assert len({line.index("#") for line in shown.splitlines()}) == 1


def test_a_list_is_shown_as_it_is_written():
    @dataclass(frozen=True, slots=True)
    class Listing:
        names: tuple[str, ...] = flag((), lambda value: tuple(value.split(",")), "some names")

    shown = describe(*load(Listing, PROGRAM, "A test.", ["--names=a,b"], {}))
    assert shown.split("  # ") == ["--names=a,b", "--names"]


def test_help_shows_every_flag_with_its_default_and_ends_with_status_0(capsys):
    with pytest.raises(SystemExit) as ended:
        read("--help")
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("A test.", "--http_port [VALUE] port of HTTP [8080]", "100 % of the wait [0.5]", "TANDEM_TEST_FLAG"):
        assert part in shown


@pytest.mark.parametrize("argv", [["--host"], ["--host", "--quiet"]])
def test_a_text_flag_without_its_value_is_a_problem(argv):
    assert len(problems(*argv)) == 1
    assert problems(*argv)[0].startswith("--host: got no value, expected ")


def test_a_flag_with_one_hyphen_is_unknown_even_if_it_begins_as_help_does():
    assert warnings("-http_port=81") == ["ignored unknown flags: -http_port (did you mean --http_port?)"]


def test_a_problem_names_flag_and_variable():
    assert "TANDEM_TEST_HTTP_PORT" in problems("--http_port=x")[0]
    assert "--http_port" in problems(TANDEM_TEST_HTTP_PORT="x")[0]
