"""Raw times become events, stages and counts."""

import socket
import time

import pytest

from fwbuild.bench.events import Event, Run, read_trace, run_of
from fwbuild.bench.trace_port import SO_TIMESTAMPNS, TracePort, stamp
from fwbuild.qemu.count import Counted, is_access, is_instruction, lines_before

START = 1_700_000_000_000_000_000  # ns
MS = 1_000_000


def at(milliseconds: float) -> int:
    return START + round(milliseconds * MS)


TRACES: dict[str, tuple[list[tuple[int, bytes]], list[tuple[str, float]]]] = {
    "one by one": ([(at(1), b"\x01"), (at(2.5), b"\x05")], [("START", 1.0), ("HANDOFF", 2.5)]),
    "two in a message": ([(at(3), b"\x01\x05")], [("START", 3.0), ("HANDOFF", 3.0)]),
    "somebody else's": ([(at(1), b"\xff\x00"), (at(2), b"\x07")], [("USER", 2.0)]),
    "to the microsecond": ([(START + 1_234_567, b"\x01")], [("START", 1.235)]),
    "nothing": ([], []),
}


@pytest.mark.parametrize("case", TRACES)
def test_read_trace(case: str) -> None:
    writes, expected = TRACES[case]
    assert [(stage.name, ms) for stage, ms in read_trace(START, writes)] == expected


STOPS = {Event.QEMU_INIT_END: at(40), Event.FW_START: at(40.1), Event.FW_DO_BOOT: at(44)}
RUNS: dict[str, tuple[list[tuple[int, bytes]], int | None, Run]] = {
    "whole": (
        [(at(41), b"\x01"), (at(43), b"\x05"), (at(900), b"\x07")], at(905),
        Run({"qemu_init_end": 40.0, "fw_start": 40.1, "fw_do_boot": 44.0,
             "linux_start_user": 900.0}, [("start", 41.0), ("handoff", 43.0)], 905.0)),
    "never ended": (
        [], None, Run({"qemu_init_end": 40.0, "fw_start": 40.1, "fw_do_boot": 44.0})),
    "the first user program counts once, and nothing after it": (
        [(at(900), b"\x07"), (at(901), b"\x07\x01")], at(905),
        Run({"qemu_init_end": 40.0, "fw_start": 40.1, "fw_do_boot": 44.0,
             "linux_start_user": 900.0}, [], 905.0)),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNS)
def test_run_of(case: str) -> None:
    writes, end, expected = RUNS[case]
    assert run_of(START, STOPS, writes, end) == expected


def test_last_event() -> None:
    assert Run({"fw_do_boot": 44.0, "qemu_init_end": 40.0}).last == "fw_do_boot"
    assert Run().last == "its start"


def test_trace_port_keeps_writes_apart_and_stamps_each() -> None:
    port = TracePort()
    before = time.time_ns()
    port.theirs.send(b"\x01")
    time.sleep(0.02)
    port.theirs.send(b"\x05")
    time.sleep(0.02)  # the reader is late, the stamps are not
    after = time.time_ns()
    assert port.drain()
    (first, one), (second, two) = port.writes
    assert (one, two) == (b"\x01", b"\x05")
    assert before - MS < first < second < after
    assert second - first >= 19 * MS
    port.close()


def test_a_message_without_a_stamp() -> None:
    seconds = (1_700_000_000).to_bytes(8, "little") + (5).to_bytes(8, "little")
    good = (socket.SOL_SOCKET, SO_TIMESTAMPNS, seconds)
    assert stamp([(socket.SOL_SOCKET, 1, b""), good]) == START + 5
    with pytest.raises(OSError, match="without its time"):
        stamp([])


# Lines that QEMU 7.2.22 wrote.
ACCESSES = b"""\
memory_region_ops_read cpu 0 mr 0x557bb16ecbd0 addr 0x511 value 0x51 size 1 name 'fwcfg'
memory_region_ops_write cpu -1 mr 0x557bb16ecbd0 addr 0x70 value 0xf size 1 name 'rtc'
memory_region_ops_write cpu 0 mr 0x557bb16ecd80 addr 0x518 value 0x20 size 4 name 'fwcfg.dma'
"""
STEPS = b"""\
Trace 0: 0x7f4ba8000100 [00000000ffff0000/00000000fffffff0/00000040/ff000201]
Trace 0: 0x7f4ba8000240 [0000000000000000/00000000fffffea0/000000b4/ff000201]
Trace 0: 0x7f4ba8000380 [0000000000010200/0000000000010200/00000040/ff000201]
Trace 0: 0x7f4ba8000500 [0000000000000000/00000000fffffea0/000000b4/ff000201]
"""
LOGS: dict[str, tuple[bytes, Counted, tuple[int, ...], int]] = {
    "only the CPU's accesses": (ACCESSES, is_access, (0x100000,), 2),
    "to the entry": (STEPS, is_instruction(), (0x10200,), 2),
    "to whichever is first": (STEPS, is_instruction(), (0x10200, 0xFFFFFEA0), 1),
    "an entry that is not reached": (STEPS, is_instruction(), (0x100000,), 4),
    "a rep of three blocks": (STEPS + 2 * STEPS[-79:], is_instruction(), (0x100000,), 4),
    "another CPU": (STEPS.replace(b"Trace 0", b"Trace 1"), is_instruction(), (0x100000,), 0),
}


@pytest.mark.parametrize("case", LOGS)
def test_lines_before(case: str) -> None:
    log, counted, entries, expected = LOGS[case]
    assert lines_before(log.splitlines(keepends=True), entries, counted) == expected
