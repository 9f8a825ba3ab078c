"""How `tandem up` shares its flags out among the two services."""

from __future__ import annotations

import pytest
from tandem_cli.flags import Shared, share


@pytest.mark.parametrize(
    ("arguments", "transformer", "predictor"),
    [
        ([], [], []),
        (["--model_name=m"], ["--model_name=m"], ["--model_name=m"]),
        (["--model-name", "m"], ["--model_name=m"], ["--model_name=m"]),
        (["--http_port=9000"], ["--http_port=9000"], []),
        (["--grpc-port", "9001"], ["--grpc_port=9001"], []),
        (["--predictor.http_port=1", "--predictor.grpc-port=2"], [], ["--http_port=1", "--grpc_port=2"]),
        (["--transformer.http_port=1"], ["--http_port=1"], []),
        (["--predictor.model_name=p", "--transformer.model_name=t"], ["--model_name=t"], ["--model_name=p"]),
        (["--model_dir=/a.b/c"], [], ["--model_dir=/a.b/c"]),
        (["--model_dir", "/a.b/c"], [], ["--model_dir=/a.b/c"]),
        (["--predictor_host=a:1"], ["--predictor_host=a:1"], []),
        (["--transformer=/p/a.py:C"], ["--transformer=/p/a.py:C"], []),
        (["--transformer_options=a=b,c=d"], ["--transformer_options=a=b,c=d"], []),
        (["--enable_latency_logging"], ["--enable_latency_logging"], ["--enable_latency_logging"]),
        (["--enable_latency_logging", "--host", "h"], ["--enable_latency_logging", "--host=h"], None),
        (["--enable_latency_logging", "false"], ["--enable_latency_logging=false"], None),
        (["--grace", "-1"], ["--grace=-1"], ["--grace=-1"]),
        (["--host="], ["--host="], ["--host="]),
        (["--log_level=info", "--log_level=debug"], ["--log_level=info", "--log_level=debug"], None),
        (["--predictor.made_up=1"], [], ["--made_up=1"]),  # the predictor itself will warn
    ],
)
def test_a_flag_goes_to_every_service_that_knows_it_or_to_the_one_it_names(arguments, transformer, predictor):
    assert share(arguments) == Shared(transformer, transformer if predictor is None else predictor, [])


@pytest.mark.parametrize(
    ("arguments", "warnings"),
    [
        (["--quite_unheard_of"], ["ignored unknown flags: --quite_unheard_of"]),
        (["--max_batch_sise", "3"], ["ignored unknown flags: --max_batch_sise (did you mean --max_batch_size?)"]),
        (["--predictor-hots=a"], ["ignored unknown flags: --predictor_hots (did you mean --predictor_host?)"]),
        (["--elsewhere.grace=1"], ["ignored unknown flags: --elsewhere.grace (did you mean --grace?)"]),
        (["--aaaaaaaa=1", "--bbbbbbbb=2"], ["ignored unknown flags: --aaaaaaaa, --bbbbbbbb"]),
    ],
)
def test_a_flag_that_neither_knows_is_ignored_with_the_nearest_name(arguments, warnings):
    assert share(arguments) == Shared([], [], warnings)


def test_an_unknown_flag_takes_only_its_own_value_with_it():
    shared = share(["--unheard_of", "x", "--model_name=m", "--unheard_of_too", "--host=h"])
    assert shared.transformer == shared.predictor == ["--model_name=m", "--host=h"]
    assert shared.warnings == ["ignored unknown flags: --unheard_of, --unheard_of_too"]


@pytest.mark.parametrize("argument", ["-v", "photo.jpg"])
def test_a_warning_shows_the_argument_as_it_was_written(argument):
    assert argument in share([argument]).warnings[0].split()
