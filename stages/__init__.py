"""The stages of `dvc.yaml`: thin scripts, each of which calls one function of `colorize`."""

from colorize import runtime

runtime.set_up_process()  # before a stage imports torch
