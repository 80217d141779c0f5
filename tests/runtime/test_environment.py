"""Environment variables that users set."""

import resource
from pathlib import Path

import pytest

from colorize import runtime


def test_raw_archives_lie_where_the_knob_says_else_in_the_main_repository(monkeypatch):
    assert runtime.raw_dir() == Path("data/raw")
    monkeypatch.setenv("DVC_ROOT", "/main")
    assert runtime.raw_dir() == Path("/main/data/raw")
    monkeypatch.setenv("COLORIZE_RAW", "/archives")
    assert runtime.raw_dir() == Path("/archives")


def test_processes_are_the_knob_else_the_cores(monkeypatch):
    assert runtime.processes() >= 1
    monkeypatch.setenv("COLORIZE_PROCS", "3")
    assert runtime.processes() == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_wrong_knob_is_a_parameter_error(monkeypatch, value):
    monkeypatch.setenv("COLORIZE_PROCS", value)
    with pytest.raises(runtime.ParameterError, match=r"COLORIZE_PROCS=.*whole number"):
        runtime.processes()


def test_the_place_of_the_images_is_one_of_four(monkeypatch):
    assert runtime.cache_place() == "auto"
    monkeypatch.setenv("COLORIZE_CACHE", "stream")
    assert runtime.cache_place() == "stream"
    monkeypatch.setenv("COLORIZE_CACHE", "disk")
    with pytest.raises(runtime.ParameterError, match="COLORIZE_CACHE=disk: expected one of auto, device, host, stream"):
        runtime.cache_place()


def test_an_unusable_device_is_a_parameter_error(monkeypatch):
    monkeypatch.setenv("COLORIZE_DEVICE", "cpuu")
    with pytest.raises(
        runtime.ParameterError, match=r"the device cpuu cannot be used here .*; try COLORIZE_DEVICE=cpu"
    ) as caught:
        runtime.set_up_torch()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["meta", "hpu", "cpu:-1", "\x1b[2J"])
def test_a_device_without_values_is_a_parameter_error(name):
    with pytest.raises(runtime.ParameterError, match="cannot be used here"):
        runtime.choose_device(name)


def test_programs_may_open_many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        runtime.set_up_process()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(before[1], 1 << 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
