"""The stages of `dvc.yaml`: thin scripts, each of which calls one function of `colorize`."""

import sys

if sys.platform == "win32":  # before the imports that Windows lacks
    sys.exit("error: the pipeline needs Linux; on Windows, run it in WSL, the Linux that `wsl --install` installs")

from colorize import runtime

runtime.set_up_process()  # before a stage imports torch
runtime.keep_compiled_code()
