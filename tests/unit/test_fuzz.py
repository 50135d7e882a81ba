"""The fuzzer: its machine ends as the emulator does, and it notices what it is for."""

import pytest

from fwbuild import protocols
from fwbuild.emulator.machine import Machine, Outcome
from fwbuild.emulator.state import End
from fwbuild.firmware.layout import ROM
from tests.support.fuzz import bases, run, verdict
from tests.support.fuzz.inputs import Host, Input
from tests.support.fuzz.machine import LIMIT, LeanMachine
from tests.support.fuzz.native import SUPPORTED

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="its hooks are code for x86-64")

BASES = (
    "universal/11.1/microvm-512M/pvh",
    "universal/7.2/pc-512M/linux16",
    "universal/10.0/q35-512M/multiboot",
    "linux/7.2/q35-512M/linux",
    "all-cpus/11.1/pc-512M/file",
)


@pytest.mark.parametrize("base", BASES)
def test_the_lean_machine_is_the_emulator(base: str) -> None:
    stock, lean = bases.stock(base), bases.lean(base)
    expected = stock.run()
    assert expected.kind == End.HANDOFF, expected.console
    for _ in range(3):
        found = lean.run()
        assert found.kind == End.HANDOFF, (found.console, found.detail)
        assert (found.registers, found.gdtr) == (expected.registers, expected.gdtr)
        assert protocols.judge(lean.state()) == []
        assert lean.memory.writes == stock.memory.writes
        assert verdict.strays(lean) == []
        lean.restore()


def test_an_input_is_its_text() -> None:
    found = Input(BASES[0], (["count", 5], ["generate", "etc/e820", "memmap", 3], ["no dma"]))
    assert Input.read(found.text) == found


def test_which_inputs_must_boot() -> None:
    honest, lie = ["honest", "memmap", 1], ["count", 5]
    assert Input(BASES[0], (honest, ["no dma"])).is_honest
    for found in (
        Input(BASES[0], (honest, lie)),
        Input(BASES[0], (honest, ["honest", "memmap", 2])),  # the second is of the first's host
        Input("baked/11.1/pc-512M/pvh", (honest,)),
    ):
        assert not found.is_honest


def test_a_kernel_may_wrap_at_4_gib() -> None:
    """Of the seed 68: more segments than fit below 4 GiB."""
    found = Input("universal/11.1/microvm-512M/file", (["file", "elf", 68],))
    machine = bases.lean(found.base)
    found.apply(machine)
    assert verdict.ended(machine.run()) == []
    assert verdict.strays(machine) == []


@pytest.mark.parametrize(
    "change, line",
    [
        (["set", "etc/e820", 16, "00000000"], "fwbuild: 34 bad e820 range"),
        (["drop", "etc/e820"], "fwbuild: 30 no etc/e820"),
        (["dma", "control", 1, 2], "fwbuild: 11 fw_cfg DMA error 00000002"),
        (["claim", "etc/table-loader", 5], "fwbuild: 50 bad size of etc/table-loader 00000005"),
    ],
)
def test_a_change_is_seen_by_the_firmware(change: list[object], line: str) -> None:
    found = Input(BASES[0], (change,))
    machine = bases.lean(found.base)
    found.apply(machine)
    outcome = machine.run()
    assert outcome.console.startswith(line)
    assert verdict.ended(outcome) == []
    machine.restore()
    assert machine.run().kind == End.HANDOFF  # nothing of it is left


# what the host asks for, and how a run ends
ENDS = {
    "CPUs that do not wake": (
        '["all-cpus/7.2/microvm-pcie-512M/pvh",["generate","#5","u32",2538984641]]',
        End.EXIT,
    ),
    "a module of an image without modules": (
        '["linux/11.1/microvm-4096M/pvh",["generate","opt/fwbuild/module/1","blob",3523108425]]',
        End.HANDOFF,
    ),
    "a module of one with modules": (
        '["universal/11.1/microvm-512M/pvh",["generate","opt/fwbuild/module/1","blob",3523108425]]',
        End.HANDOFF,
    ),
    "an initrd of no size": (
        '["all-cpus/10.0/microvm-3072M/linux",["set","#b",0,"00000000"]]',
        End.HANDOFF,
    ),
    "a command line of no size": (
        '["all-cpus/7.2/microvm-64M/linux",["cut","#14",0]]',
        End.HANDOFF,
    ),
    "no CPUs": (
        '["universal/7.2/microvm-64M/multiboot",["set","#5",0,"0000"],["drop","etc/table-loader"]]',
        End.HANDOFF,
    ),
    "a modern kernel that is loaded low": (
        '["universal/7.2/microvm-acpi-off-512M/linux",["set","#18",528,"80000000"]]',
        End.HANDOFF,
    ),
    "a module of no size": (
        '["all-cpus/11.1/microvm-4096M/file",["cut","opt/fwbuild/module/1",0]]',
        End.HANDOFF,
    ),
    "a command line elsewhere by the setup code": (
        '["universal/11.1/microvm-2048M/linux16",["set","#18",552,"7b000000"]]',
        End.HANDOFF,
    ),
    "no DMA to tell the host by": (
        '["universal/10.0/microvm-pcie-512M/linux",["no dma"],'
        '["generate","etc/table-loader","script",2957246932]]',
        End.HANDOFF,
    ),
    "a command line's file with a zero": (
        '["all-cpus/11.1/microvm-4096M/file",["set","opt/fwbuild/cmdline",2,"00010000"]]',
        End.HANDOFF,
    ),
    "a file's name that goes on after its zero": (
        '["universal/11.1/microvm-2048M/linux16",["set","etc/table-loader",1306,"00001000"]]',
        End.HANDOFF,
    ),
    "a reserved range of no size": (
        '["universal/11.1/microvm-acpi-off-512M/pvh",["generate","etc/e820","memmap",1507858852]]',
        End.HANDOFF,
    ),
    "CPUs in an MP table": (
        '["universal/11.1/microvm-acpi-off-512M/pvh",["set","#5",0,"0700"]]',
        End.HANDOFF,
    ),
    "a Multiboot kernel without its mark": (
        '["universal/7.2/microvm-512M/multiboot",["generate","#a","u32",542683805],["cut","#b",0]]',
        End.HANDOFF,
    ),
    "a bzImage's header that reaches past its place": (
        '["all-cpus/11.1/microvm-3072M/linux",["generate","#18","setup",3304459872]]',
        End.HANDOFF,
    ),
    "a module that is gone": (
        '["universal/11.1/microvm-3072M/file",["drop","opt/fwbuild/module/1"]]',
        End.HANDOFF,
    ),
    "tables of a machine without ACPI": (
        '["universal/10.0/microvm-acpi-off-512M/linux16",'
        '["generate","etc/table-loader","script",3541086797],["honest","script",904251489]]',
        End.HANDOFF,
    ),
    "CPUs that an MP table has no room for": (
        '["universal/11.1/microvm-acpi-off-512M/pvh",["set","#5",0,"0002"]]',
        End.HANDOFF,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_an_input_ends_as_it_may(name: str) -> None:
    text, end = ENDS[name]
    found = Input.read(text)
    machine = bases.lean(found.base)
    host = found.apply(machine)
    outcome = machine.run()
    assert (outcome.kind, verdict.ended(outcome)) == (end, [])
    if end == End.HANDOFF:
        assert verdict.can_judge(host)
        assert verdict.judged(machine, host) == []


def test_zeros_may_take_long() -> None:
    """Of the seed 1840615206: a segment with 1.5 GiB of zeros behind it."""
    found = Input("all-cpus/7.2/pc-3072M/file", (["file", "elf", 1840615206],))
    outcome, asked = run.exactly(found)
    assert (outcome.kind, asked > LIMIT) == (End.LIMIT, True)
    assert verdict.ended(outcome, asked) == []
    assert verdict.ended(outcome) != []


def test_the_boot_cpu_sends_one_startup_message() -> None:
    """It goes on behind the store that woke the others."""
    found = Input("all-cpus/7.2/microvm-pcie-512M/pvh", (["set", "#5", 0, "0300"],))
    machine = bases.lean(found.base)
    found.apply(machine)
    apic, sent = machine.board.apic, []
    on_startup = apic.on_startup

    def count(vector: int) -> None:
        sent.append(vector)
        on_startup(vector)

    apic.on_startup = count
    machine.run(100_000)
    assert len(sent) == 1


def test_copies_without_dma_are_counted() -> None:
    machine = bases.lean(BASES[0])
    Input(BASES[0], (["no dma"],)).apply(machine)
    machine.run()
    copied = machine.hooks.counters.copied
    assert copied > sum(f.size for f in machine.recording.files if f.name.startswith("etc/acpi"))
    machine.restore()
    assert machine.run().kind == End.HANDOFF
    assert machine.hooks.counters.copied < copied


@pytest.mark.parametrize("copied, wrong", [(LIMIT // 2, ["ended in limit"]), (LIMIT, [])])
def test_a_long_run_may_copy(copied: int, wrong: list[str]) -> None:
    assert verdict.ended(Outcome(End.LIMIT), copied) == wrong


def _machine(code: bytes, routine: str) -> LeanMachine:
    """One whose image has other instructions at the start of a routine."""
    base = bases.stock(BASES[0])
    built = bases.image("universal")
    at = built.linked.addresses[routine] - ROM.base
    image = built.image[:at] + code + built.image[at + len(code) :]
    return LeanMachine(image, base.recording, base.loaded, bases.edges("none"))


@pytest.mark.parametrize(
    "code, wrong",
    [
        ("f4", "ended in halt"),
        ("ebfe", "ended in limit"),
        ("0f0b", ""),  # an exception is a stop
    ],
)
def test_what_no_run_may_end_in_is_noticed(code: str, wrong: str) -> None:
    machine = _machine(bytes.fromhex(code), "files_open")
    found = verdict.ended(machine.run(1_000_000))
    assert found == ([wrong] if wrong else [])


def test_a_store_outside_the_layout_is_noticed() -> None:
    # mov dword ptr [0x400000], 0x12345678; hlt
    machine = _machine(bytes.fromhex("c7050000400078563412f4"), "files_open")
    machine.run()
    block = bases.image("universal").linked.addresses["files_open"]
    assert verdict.strays(machine) == [f"a store to 0x400000 by the block at {block:#x}"]


def test_the_corpus_ends_as_it_may() -> None:
    """Each input that once took an edge that none took before it."""
    corpus = run.read(run.CORPUS)
    assert corpus
    fuzzer = run.Fuzzer(1)
    for found in corpus:
        fuzzer.run(found)
    assert [f.found.text for f in fuzzer.tally.failures] == []


def test_a_short_campaign_finds_nothing() -> None:
    fuzzer = run.Fuzzer(1, run.read(run.CORPUS), list(BASES))
    tally = fuzzer.fuzz(2)
    assert [(f.found.text, f.wrong) for f in tally.failures] == []


def test_a_failure_is_reproduced_by_the_emulator() -> None:
    found = Input(BASES[0], (["drop", "etc/e820"],))
    assert run.replay(found) == []
    lean, stock = _machine(b"\xf4", "files_open"), bases.stock(found.base)
    machine = Machine(lean.image, stock.recording, stock.loaded)
    assert verdict.again(machine, Host.of(machine)) == ["ended in halt"]
