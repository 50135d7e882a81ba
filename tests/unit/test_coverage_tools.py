"""The report on coverage names what is open, and a mutant is the change that it says."""

from capstone import CS_ARCH_X86, CS_MODE_32, Cs

from fwbuild.firmware.layout import ROM
from fwbuild.image.build import Image, build_image
from fwbuild.image.template import names
from tests.support.coverage.places import Direction, Line, Places
from tests.support.coverage.report import Record, problems
from tests.support.mutation.mutants import Mutant, mutants, mutated
from tests.support.mutation.order import Order
from tests.support.mutation.run import keyed, reasons

LINE = Line("asm/a.s", 7, "jz .b", "a")
ROW = {"file": "asm/a.s", "routine": "a", "why": "no host does it"}
ALL: set[Line | Direction] = {LINE, Direction(LINE, True), Direction(LINE, False)}


def test_what_is_open_is_named() -> None:
    taken = ALL - {Direction(LINE, True)}
    assert problems(ALL, taken, {"unreached": []}) == [
        "asm/a.s:7: no test, no reason: jz .b (taken)"
    ]
    assert problems(ALL, set(), {"unreached": []}) == [
        "asm/a.s:7: no test, no reason: jz .b (runs)"
    ]


def test_a_reason_is_for_what_is_open() -> None:
    table = {"unreached": [ROW | {"rows": [["jz .b", "taken"]]}]}
    assert problems(ALL, ALL - {Direction(LINE, True)}, table) == []
    assert len(problems(ALL, ALL, table)) == 1


def test_places(image: Image) -> None:
    """A branch of a routine goes on to its target or to the next instruction."""
    places = Places(image)
    address, target = next(iter(places.targets.items()))
    encoded, line = places.at[address]
    end = address + len(encoded.code)
    assert places.direction(address, end, target) == Direction(line, True)
    assert places.direction(address, end, end) == Direction(line, False)
    assert places.home(address - ROM.base + 0xF0000) == address


def test_mutants(image: Image) -> None:
    places = Places(image)
    address = next(a for a in places.targets if places.at[a][1].text.startswith("jz"))
    encoded, line = places.at[address]
    decoder = Cs(CS_ARCH_X86, CS_MODE_32)
    names = {}
    for kind in ("flip", "drop"):
        data = mutated(image, Mutant(line, kind)).image
        at = address - ROM.base
        code = data[at : at + len(encoded.code)]
        names[kind] = [instruction.mnemonic for instruction in decoder.disasm(code, address)]
        assert data[:at] + encoded.code + data[at + len(code) :] == image.image
    assert names == {"flip": ["jne"], "drop": ["nop"] * len(encoded.code)}


def test_a_reason_is_for_a_change_that_can_be_made() -> None:
    """And for one alone: where a statement comes again in its routine, a number tells which."""
    changes = keyed(mutants([build_image(name) for name in names()]))
    assert [key for key in reasons() if key not in changes] == []


def test_likely_tests_come_first() -> None:
    """The quickest that takes a direction comes before the many that do not."""
    common: set[Line | Direction] = {LINE, Direction(LINE, True)}
    rare: set[Line | Direction] = {LINE, Direction(LINE, False)}
    other = Line("asm/b.s", 9, "ret", "b")
    beside = LINE._replace(line=LINE.line + 9, routine="beside")
    record = Record(
        tests={
            "f.py::many[1]": common,
            "f.py::many[2]": common,
            "f.py::many[3]": common,
            "f.py::slow": common,
            "f.py::about": {*common, beside},
            "g.py::rare": rare,
            "f.py::beside": {other},
            "h.py::elsewhere": {other},
            "i.py": common,  # what a fixture has run
        },
        seconds={"f.py::many[1]": 0.1, "f.py::many[2]": 0.2, "f.py::many[3]": 0.3}
        | {"f.py::slow": 5.0, "f.py::about": 0.5, "g.py::rare": 2.0}
        | {"f.py::beside": 0.0, "i.py::user": 9.0},
    )
    names = [name for name in record.tests if "::" in name] + ["i.py::user"]
    assert Order(record, names).of(LINE) == [
        *("f.py::many[1]", "g.py::rare"),
        *("f.py::about", "f.py::many[2]", "f.py::many[3]", "f.py::slow"),
        *("f.py::beside", "i.py::user"),
    ]
