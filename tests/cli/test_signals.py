"""A signal stops a command as Ctrl-C does: with a message, the exit code of the signal, and no traceback."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from command_line import Cli

from retroscope.cli.exit_codes import stopping
from retroscope.study.doctor import diagnosis as doctor
from tiny_study import Tiny

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """Listen to Ctrl-C, which a shell ignores for what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def sending(number: int, then: Callable[[], object] = lambda: None) -> Callable[..., None]:
    """A diagnosis in the middle of which a signal comes."""

    def diagnose(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            then()
            raise

    return diagnose


@pytest.mark.parametrize("number", CODES)
def test_a_signal(cli: Cli, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(doctor, "diagnose", sending(number))
    done = cli("doctor", tiny.retriever)
    assert done.code == CODES[number]
    assert done.err.endswith("finished measurements are kept; repeat the command to continue\n")
    assert "Traceback" not in done.err


def test_a_library_that_makes_an_error_of_its_own_of_it(cli: Cli, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("a hook was interrupted")

    monkeypatch.setattr(doctor, "diagnose", sending(signal.SIGINT, fails))
    done = cli("doctor", tiny.retriever)
    assert (done.code, "Traceback" in done.err) == (130, False)


def test_a_signal_that_comes_twice_is_one() -> None:
    def cleaned_up() -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` sends it to the group, too
        time.sleep(0.01)
        steps.append("cleaned up")

    steps: list[str] = []
    with stopping() as stop, pytest.raises(KeyboardInterrupt):
        sending(signal.SIGTERM, cleaned_up)()
    assert (steps, stop.code) == (["cleaned up"], 143)


def test_ignored_signals_stay_ignored_and_handlers_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with stopping() as stop:
            assert signal.getsignal(signal.SIGTERM) == stop.stop
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.number == 0
        assert signal.getsignal(signal.SIGTERM) == handler
    finally:
        signal.signal(signal.SIGHUP, before)
