"""The names of files among a verb's options."""

import argparse
from pathlib import Path


def file_name(text: str) -> Path:
    """A file's or a folder's name. An empty one, as of a shell's variable that is not set, would
    be the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
