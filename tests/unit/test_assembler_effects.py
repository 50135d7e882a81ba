"""Contracts say which variables in RAM a routine reads and writes; both directions are held."""

import pytest

from fwbuild.assembler.effects import Effects
from fwbuild.assembler.link import Linker
from fwbuild.assembler.source import parse
from fwbuild.image import build, template
from tests.support.sources import header, place

SYMBOLS = {
    "ram.w": 0x2000, "ram.w.a": 0x2000, "ram.w.b": 0x2004, "ram.w.s": 0x2008, "ram.w.s.x": 0x2008,
    "region.map.base": 0x3000, "region.map.size": 0x1000, "region.map.end": 0x4000,
    "region.rom.base": 0xFFFF0000,
}  # fmt: skip
A_READER = header(reads="ram.w.a") + "other:\n cmp dword ptr [ram.w.a], 0\n ret\n"
NEVER = header(reads="ram.w.a", returns="never") + "other:\n cmp dword ptr [ram.w.a], 0\n hlt\n"
DATA = "#: a table\n#: mode: data\ntable:\n .long ram.w.a\n"
# (the first routine's lines and what follows it, what it reads, what it writes)
CASES = {
    "read": (" mov eax, dword ptr [ram.w.a]\n ret\n", "ram.w.a", ""),
    "write": (" mov dword ptr [ram.w.a], eax\n ret\n", "", "ram.w.a"),
    "both": (" inc dword ptr [ram.w.a]\n ret\n", "ram.w.a", "ram.w.a"),
    "exchange": (" xchg dword ptr [ram.w.a], eax\n ret\n", "ram.w.a", "ram.w.a"),
    "compare": (" cmp dword ptr [ram.w.a], 5\n ret\n", "ram.w.a", ""),
    "setcc": (" setc byte ptr [ram.w.a]\n ret\n", "", "ram.w.a"),
    "compare and exchange": (
        " lock cmpxchg dword ptr [ram.w.a], ecx\n ret\n", "ram.w.a", "ram.w.a",
    ),
    "jump through it": (" jmp dword ptr [ram.w.a]\n", "ram.w.a", ""),
    "upper half": (" mov eax, dword ptr [ram.w.a + 4]\n ret\n", "ram.w.a", ""),
    "indexed": (" mov eax, dword ptr [ecx * 4 + ram.w.b]\n ret\n", "ram.w.b", ""),
    "of two": (" mov dword ptr [ram.w.a], ram.w.b\n ret\n", "ram.w.b", "ram.w.a"),
    "address, said to be read": (" mov esi, ram.w.a\n ret\n", "ram.w.a", ""),
    "address, said to be written": (" mov esi, ram.w.a\n ret\n", "", "ram.w.a"),
    "address, said to be both": (" lea esi, [ecx + ram.w.a]\n ret\n", "ram.w.a", "ram.w.a"),
    "a region": (" mov esi, region.map.base\n ret\n", "", "region.map"),
    "a region's size": (" mov ecx, region.map.size\n cmp ecx, region.map.end\n ret\n", "", ""),
    "a distance in a region": (" mov ecx, start - region.map.base\n ret\n", "", ""),
    "the ROM": (" mov esi, region.rom.base\n ret\n", "", ""),
    "a whole structure": (" mov edi, ram.w\n ret\n", "", "ram.w"),
    "by the structure's name": (" inc dword ptr [ram.w.a]\n ret\n", "ram.w", "ram.w"),
    "below another": (" mov eax, dword ptr [ram.w.s.x]\n ret\n", "ram.w.s", ""),
    "a callee's": (" call other\n ret\n" + A_READER, "ram.w.a", ""),
    "where it ends": (" jmp other\n" + A_READER, "ram.w.a", ""),
    "what never returns": (" jmp other\n" + NEVER, "", ""),
    "through data": (" mov esi, table\n ret\n" + DATA, "ram.w.a", ""),
    "data in the routine": (" ret\n.t:\n .long ram.w.a\n", "ram.w.a", ""),
}  # fmt: skip


def effects(*files: str) -> Effects:
    """The effects of a program; the sources are x/a.s, x/b.s, y/c.s, and `start` is its entry."""
    names = ("x/a.s", "x/b.s", "y/c.s")
    fragments = [
        f for file, text in zip(names, files, strict=False) for f in parse(file, text, SYMBOLS)
    ]
    return Effects(Linker(SYMBOLS).link(fragments, ["start"], place))


def routine(code: str, reads: str = "", writes: str = "") -> str:
    fields = {k: v for k, v in (("reads", reads), ("writes", writes)) if v}
    return header(clobbers="eax, ecx, esi, eflags", **fields) + f"start:\n{code}"


@pytest.mark.parametrize("name", CASES)
def test_what_is_listed_is_all(name: str) -> None:
    code, reads, writes = CASES[name]
    found = effects(routine(code, reads, writes))
    assert found.unlisted() == [] and found.needless() == []


@pytest.mark.parametrize("name", [n for n, (_, reads, writes) in CASES.items() if reads or writes])
def test_what_is_not_listed_is_found(name: str) -> None:
    found = effects(routine(CASES[name][0])).unlisted()
    assert found and all(p.startswith("x/a.s:") and "does not say" in p for p in found)


@pytest.mark.parametrize("field", ["reads", "writes"])
def test_what_is_listed_without_need_is_found(field: str) -> None:
    (found,) = effects(routine(" ret\n", **{field: "ram.w.a"})).needless()
    assert f"lists ram.w.a, but nothing {field} it" in found


@pytest.mark.parametrize(
    ("reads", "writes"), [("ram.w.a", "ram.w.a"), ("ram.w.b", "ram.w.a"), ("ram.w.a", "ram.w.b")]
)
def test_a_write_is_not_a_read(reads: str, writes: str) -> None:
    found = effects(routine(" mov dword ptr [ram.w.a], 0\n ret\n", reads, writes))
    assert found.needless() or found.unlisted()


CALLER = header(reads="ram.w.b") + "caller:\n call other\n cmp byte ptr [ram.w.b], 0\n ret\n"
OTHER = header(reads="ram.w.a") + "other:\n cmp dword ptr [ram.w.a], 0\n ret\n"


def test_a_file_keeps_its_variables_to_itself() -> None:
    start = header() + "start:\n jmp caller\n"
    assert effects(start, CALLER, OTHER).unlisted() == []
    shared = header(reads="ram.w.a") + "start:\n cmp byte ptr [ram.w.a], 0\n jmp caller\n"
    assert effects(shared, CALLER, OTHER).unlisted() == [
        "x/b.s:9: caller: 'call other' reads ram.w.a, which the contract does not say"
    ]


def test_a_folder_keeps_its_variables_to_itself() -> None:
    caller = header(reads="ram.w.a") + "caller:\n cmp byte ptr [ram.w.a], 0\n jmp other\n"
    first = header(reads="ram.w.a") + "first:\n cmp byte ptr [ram.w.a], 0\n jmp caller\n"
    outside = header() + "start:\n jmp first\n" + header() + "other:\n ret\n"
    assert effects(first, caller, outside).unlisted() == []


@pytest.mark.parametrize("name", template.names())
def test_contracts_list_all(name: str) -> None:
    assert Effects(build.build_image(name).linked).unlisted() == []


def test_contracts_list_nothing_without_need() -> None:
    """In the template that leaves nothing out."""
    assert Effects(build.build_image("all-cpus").linked).needless() == []


def test_users() -> None:
    text = routine(" mov dword ptr [ram.w.a], 0\n call other\n ret\n", "ram.w.a", "ram.w.a")
    assert effects(text + A_READER).users() == {"ram.w.a": (["start"], ["other"])}
