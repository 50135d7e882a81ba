"""A bench's results, made up: three images, one of which boots nothing."""

from typing import Any

from fwbuild.bench.events import Event, Run
from fwbuild.bench.result import Result, Row
from fwbuild.qemu.count import Count

ROUNDS = 3
# event: ms since QEMU's start, in each round
OURS = {
    Event.QEMU_INIT_END: (40.0, 41.0, 42.0),
    Event.FW_START: (40.5, 41.5, 42.5),
    Event.FW_DO_BOOT: (42.5, 43.5, 44.5),
    Event.STARTUP_64: (43.0, 44.0, 45.0),
    Event.START_KERNEL: (50.0, 51.0, 52.0),
    Event.START_USER: (250.0, 251.0, 252.0),
    Event.CONSOLE_LINE: (258.0, 259.0, 260.0),
}
TRACED = Run({"fw_start": 40.0}, [("start", 40.25), ("acpi", 40.5), ("handoff", 42.0)])


def runs(factor: float = 1.0) -> list[Run]:
    """The rounds of an image whose firmware takes `factor` times as long, and nothing else."""
    late = 2.0 * (factor - 1)
    before = (Event.QEMU_INIT_END, Event.FW_START)
    return [
        Run(
            {str(e): at[i] + (0 if e in before else late) for e, at in OURS.items()},
            total=260.0 + late + i,
        )
        for i in range(ROUNDS)
    ]


def row(image: str, **more: Any) -> Row:
    return Row(
        machine="pc",
        kernel="vmlinux-1",
        kind="vmlinux",
        image=image,
        accel="tcg",
        whole=True,
        command=["/usr/bin/qemu-system-x86_64", "-M", "pc", "-append", "a b"],
        **more,
    )


def result() -> Result:
    stage_counts = [
        {"stage": "start", "accesses": 0, "instructions": 48},
        {"stage": "acpi", "accesses": 3, "instructions": 8143},
    ]
    rows = [
        row(
            "fwbuild <x>",
            runs=runs(),
            plain=[255.0, 256.0, 257.0],
            traced=[TRACED] * ROUNDS,
            entry="PVH",
            count=Count(25, 9604),
            stage_counts=stage_counts,
        ),
        row(
            "qboot.rom",
            runs=runs(4),
            plain=[261.0, 262.0, 263.0],
            entry="PVH",
            count=Count(247, 62739),
        ),
        row("broken.bin", failure="nothing more came in time after fw_start"),
    ]
    return Result(
        qemu="7.2.22",
        host={"CPU": "2 x Example", "kernel": "Linux 6"},
        date="2026-01-02",
        rounds=ROUNDS,
        memory=512 << 20,
        append="nokaslr panic=-1",
        baseline="fwbuild <x>",
        rows=rows,
        notes=["a <note>"],
    )
