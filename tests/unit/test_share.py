"""What shells and `man` know of the command line, asked of the shells and of man's own tools."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fwbuild import cli, share
from fwbuild.errors import ExitCode
from fwbuild.verbs.completion import SHELLS

SHARE = Path(__file__).resolve().parents[2] / "share"

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_fwbuild fwbuild "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = "source $argv[1]; complete -C $argv[2] | string split -f1 \\t"
# argv: folder of _fwbuild, the line, a pattern of what is awaited
ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D; print REA''DY"
zpty -r -m z out '*READY*'
zpty -w -n z "$2"$'\\t\\t'
zpty -r -m z out "$3"
print -r -- "$out"
zpty -d z
"""
# a line that ends where somebody presses tab, and all that it completes to
LINES = {
    "fwbuild ver": ["verify"],
    "fwbuild verify --re": ["--real", "--recording", "--release"],
    "fwbuild run --accel ": ["auto", "kvm", "tcg"],
    "fwbuild completion z": ["zsh"],
    "fwbuild inspect kern": ["kernel-file"],
    "fwbuild explain kern": ["kernel-file"],
    "fwbuild verify --template u": ["universal"],
    "fwbuild bench --template my": ["my.toml"],
    "fwbuild run -M q": ["q35"],
    "fwbuild cost --machine micro": ["microvm"],
    "fwbuild --temp": ["--template"],
}


def shell(name: str, script: str, *arguments: str, cwd: Path) -> str:
    """What a script prints in a shell; the test is skipped without that shell."""
    if not (path := shutil.which(name)):
        pytest.skip(f"needs {name}")
    argv = {
        "bash": [path, "--norc", "-c", script, "bash"],
        "zsh": [path, "-f", "-c", script, "zsh"],
        "fish": [path, "--no-config", "-c", script],
    }[name]
    done = subprocess.run(
        [*argv, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", SHELLS)
def test_completion(name: str, line: str, tmp_path: Path) -> None:
    for name_of_file in ("kernel-file", "my.toml", "my.other"):
        (tmp_path / name_of_file).touch()
    script = SHARE / f"fwbuild.{name}"
    if name == "bash":
        words = line.split(" ")
        found: Sequence[str] = shell(name, BASH, str(script), *words, cwd=tmp_path).split()
    elif name == "fish":
        found = shell(name, FISH, str(script), line, cwd=tmp_path).split()
    else:
        shutil.copy(script, tmp_path / "_fwbuild")
        wanted = "*".join(["", *LINES[line], ""])
        screen = shell(name, ZSH, str(tmp_path), line, wanted, cwd=tmp_path)
        found = [word for word in LINES[line] if word in screen]
    assert sorted(found) == LINES[line]


def test_bash_registers_it(tmp_path: Path) -> None:
    script = 'source "$1"; complete -p fwbuild'
    assert "_shtab_fwbuild" in shell("bash", script, str(SHARE / "fwbuild.bash"), cwd=tmp_path)


@pytest.mark.parametrize("name", share.files())
def test_the_files_are_current(name: str) -> None:
    assert (SHARE / name).read_text(encoding="utf-8") == share.files()[name], "run `make docs`"


@pytest.mark.parametrize("name", SHELLS)
def test_the_verb_prints_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", name]) == ExitCode.OK
    assert capsys.readouterr().out == (SHARE / f"fwbuild.{name}").read_text(encoding="utf-8")


def test_fish_shows_a_verb_by_its_line_in_the_help() -> None:
    """Not by its description, which takes lines; one without an apostrophe stands as it is."""
    said = set(re.findall(r"-a (\w+) -d '(.*)'$", share.completion("fish"), re.MULTILINE))
    assert ("verify", "run up to the kernel'\"'\"'s entry and judge the handoff") in said
    helps = {(name, cli._help(name)) for name in cli.VERBS}
    assert {pair for pair in helps if "'" not in pair[1]} <= said


def test_the_man_page_has_each_verb_and_option() -> None:
    page = share.man_page()
    for name, verb in share.verbs().items():
        section = page.partition(f".SS {name}\n")[2].partition("\n.S")[0]
        assert section
        for action in share.actions(verb):
            assert share.roff(share.words(action)) in section
            assert [o for o in action.option_strings if o.replace("-", "\\-") not in section] == []


LINT = {
    "mandoc": ["mandoc", "-Tlint"],
    "groff": ["groff", "-man", "-ww", "-z", "-Tascii"],
}


@pytest.mark.parametrize("name", LINT)
def test_the_man_page_is_sound(name: str) -> None:
    if not shutil.which(name):
        pytest.skip(f"needs {name}")
    argv = [*LINT[name], str(SHARE / share.MAN)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout + done.stderr == ""


def test_roff() -> None:
    assert share.roff("a\\b --c") == "a\\eb \\-\\-c"
    assert share.roff(".TH is no command") == "\\&.TH is no command"
    assert share.roff("word " * 14 + "'quoted") == "word " * 13 + "word\n\\&'quoted"
