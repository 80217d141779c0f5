"""The program `colorize`: `colorize photo.jpg -o out/` colors a photo; `colorize --help` lists all commands."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import sys
from pathlib import Path

if sys.platform == "win32":  # before the imports that Windows lacks
    sys.exit("error: colorize needs Linux or macOS; on Windows, run it in WSL, the Linux that `wsl --install` installs")

from colorize import __version__, runtime
from colorize.commands.arguments import Parser
from colorize.runtime import ParameterError

_COMMANDS = {  # name: (what it does, examples)
    "photos": (
        "Color photos and folders of photos.",
        "colorize photo.jpg -o out                  write out/photo.jpg\n"
        "colorize photos album -o out --recursive   color a folder and its subfolders, and keep the tree\n"
        "colorize photos scan.tif -o out --format png --temperature 0.2 --confidence",
    ),
    "page": (
        "Make one HTML file that colors photos in a browser, without a server.",
        "colorize page -o colorize.html\ncolorize page scenes-unet-0 -o scenes.html",
    ),
    "export": (
        "Export a trained model: to ONNX, to a folder for a model hub, or to a page.",
        "colorize export objects-unet-0 --onnx unet.onnx --fp16      half the size of the file\n"
        "colorize export some/model --hub to_upload                  a folder with a model card\n"
        "colorize export objects-unet-0 --page colorize.html",
    ),
    "inspect": (
        "Show what a result says about itself: its model, parameters and photo.",
        "colorize inspect out/photo.jpg\ncolorize inspect out/*.jpg --in photos --json",
    ),
    "verify": (
        "Check a model, or all files of the pipeline, and name the repair of each problem.",
        "colorize verify                            check the repository, as `make verify`\n"
        "colorize verify some/folder                check one model or one output of the pipeline",
    ),
}
_EXIT_CODES = (
    "exit codes: 0 all is done, 2 an argument is wrong, 3 a file is missing or cannot be used,\n"
    "  130 and 143 interrupted"
)


def start() -> None:
    """Run the program: entry point of the console script `colorize` and of `python -m colorize`."""
    runtime.set_up_process()
    runtime.run(main, sys.argv[1:])


def main(*arguments: str) -> None:
    """Run the command that the first argument names; if it names none, all arguments belong to `photos`."""
    if arguments and arguments[0] in ("-h", "--help", "--version"):
        _overview().parse_args(arguments[:1])
    if not arguments:
        _overview().print_help(sys.stderr)
        sys.exit(ParameterError.exit_code)
    is_named = arguments[0] in _COMMANDS
    if not is_named:
        _check_typo(arguments[0])
    name = arguments[0] if is_named else "photos"
    what, examples = _COMMANDS[name]
    parser = Parser(prog=f"colorize {name}", description=what, epilog=f"{_indented(examples)}\n\n{_EXIT_CODES}")
    command = importlib.import_module(f"colorize.commands.{name}")
    command.add_arguments(parser)
    command.run(_parse(parser, arguments[1:]) if is_named else parser.parse_args(arguments))


def _check_typo(word: str) -> None:
    """Raise an error if a word is no file, and nearly the name of a command."""
    similar = difflib.get_close_matches(word, _COMMANDS, 1, cutoff=0.7)
    if similar and "/" not in word and not Path(word).suffix and not os.path.lexists(word):
        raise ParameterError(f"{word}: no such command, file or folder; did you mean {similar[0]}?")


def _parse(parser: Parser, arguments: tuple[str, ...]) -> argparse.Namespace:
    """Parse the arguments of a command.

    `colorize photos -o out` colors a folder with the name `photos`, if there is one and no other photo is named. Other
    errors mention a file or folder that has the name of the command.
    """
    name = parser.prog.partition(" ")[2]
    try:
        return parser.parse_args(arguments)
    except ParameterError as error:
        if not Path(name).exists():
            raise
        if name == "photos":
            with contextlib.suppress(ParameterError):
                return parser.parse_args((name, *arguments))
        raise ParameterError(f"{error}; for the file or folder {name}, write ./{name}") from None


def _overview() -> Parser:
    commands = "\n".join(f"  {name:<8} {what}" for name, (what, _) in _COMMANDS.items())
    parser = Parser(
        prog="colorize",
        usage="colorize [-h] [--version] photo [photo ...] [-o folder] [option ...]\n"
        "       colorize command [argument ...]",
        description="Color photos with a trained model. It uses only the lightness of a photo, which stays.",
        epilog=f"commands:\n{commands}\n\n`colorize command --help` lists the options of a command. `photos` can be "
        "left out.\nA photo or folder that is named like a command needs `./` before its name.\n\n"
        f"{_indented(_COMMANDS['photos'][1])}\n\n{_EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _indented(examples: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())


if __name__ == "__main__":
    start()
