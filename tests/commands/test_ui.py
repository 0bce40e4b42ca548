"""`nnexp ui` starts MLflow on the runs of an output folder, as a real process, and stops it."""

import json
import re
import signal
import socket
import time
from contextlib import ExitStack, suppress
from urllib.request import Request, urlopen

import pytest

from tests.conftest import CommandLine

SHORT = ("trainer.epochs=2", "figures=false", "verbose=false")


def test_it_waits_for_mlflow_shows_the_runs_and_stops_all_of_it(nnexp: CommandLine) -> None:
    assert nnexp(*SHORT).returncode == 0
    with ExitStack() as resources:
        with suppress(OSError):  # another test has it
            resources.enter_context(socket.create_server(("127.0.0.1", 5000)))
        process = resources.enter_context(nnexp.start("ui", "--no-browser"))
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == "MLflow is starting, which takes some seconds ...\n"
        found = re.fullmatch(
            r"MLflow  (http://127.0.0.1:(\d+))/#/experiments\?workflowType=machine_learning\n", lines[1]
        )
        assert found is not None, lines
        address, port = found[1], int(found[2])
        assert port != 5000
        assert lines[2] == "Ctrl-C stops it.\n"
        query = Request(
            f"{address}/api/2.0/mlflow/experiments/search",
            json.dumps({"max_results": 9}).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(query) as answer:
            names = [one["name"] for one in json.load(answer)["experiments"]]
        assert "digits_binary" in names
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        else:
            pytest.fail("a process of the server is left")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--output-dir=outputs: must be where runs were tracked"),
        (("--tracking-uri", "http://127.0.0.1:1"), "tracking.uri=http://127.0.0.1:1: must be a tracking server"),
    ],
)
def test_where_there_is_no_store_it_says_so(nnexp: CommandLine, words: tuple[str, ...], said: str) -> None:
    result = nnexp("ui", "--no-browser", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"nnexp: {said}")
    assert result.stderr.count("\n") == 1
