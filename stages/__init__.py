"""The steps of `dvc.yaml`: thin scripts that call one function of `colorize` each."""

from colorize import runtime

runtime.set_up_process()  # before a stage imports torch
