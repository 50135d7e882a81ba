"""Runs the contenders against each other: every image in turn, round by round.

A group is a kernel on a machine under an accelerator. Each image first boots once for nothing,
which warms the host's caches and shows whether it boots this kernel at all; then come the rounds,
each beginning with another image, so that noise hits all alike. In a round boots of a sort come
together: a boot that comes after a whole one may begin milliseconds late, and is to be compared
with one that does too.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fwbuild import protocols
from fwbuild.bake.read import bake
from fwbuild.bake.write import BIOS_FILE
from fwbuild.bench.advice import advice
from fwbuild.bench.contenders import Contender
from fwbuild.bench.devices import accesses
from fwbuild.bench.events import Event, Run, Seen, Step
from fwbuild.bench.kernel import NO_KASLR, OTHER, Kernel
from fwbuild.bench.result import Row
from fwbuild.bench.runner import plain, traced
from fwbuild.emulator.stages import count_stages
from fwbuild.errors import ExitCode, FwbuildError
from fwbuild.guest import Guest
from fwbuild.qemu.command import command
from fwbuild.qemu.count import Count, count
from fwbuild.qemu.gdbstub import GdbStub
from fwbuild.qemu.record import record
from fwbuild.qemu.session import stopped

WORDS = f"{NO_KASLR} panic=-1"  # a panic ends QEMU
TRACED = 4  # times as long may a boot take whose every access is written down
Say = Callable[[str], None]
Counts = tuple[Count | None, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A bench as it is asked for. Each group puts its machine, kernel and accelerator into
    `guest`; `seconds` is the most that one boot may take, `last` the event at which it is over,
    `until` the regular expression that CONSOLE_LINE stands for."""

    contenders: Sequence[Contender]
    kernels: Sequence[Kernel]
    machines: Sequence[str]
    guest: Guest
    accel: str  # "auto", "kvm" or "tcg"
    rounds: int
    seconds: float
    counts: bool = True
    last: Event = Event.START_USER
    until: str | None = None

    @property
    def by_the_guest(self) -> bool:
        """Whether the guest itself tells that a boot is over, so that no instrument has to."""
        return self.last.seen is not Seen.BREAKPOINT


class Race:
    """The run of a plan; `say` is told what is going on, `notes` what a reader must know."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self.plan, self.say = plan, say
        self.counts: dict[tuple[Path, str, str], Counts] = {}  # they do not jitter
        self.notes = [f"{k.path.name}: {k.note}" for k in plan.kernels if k.note]

    def rows(self) -> Iterator[list[Row]]:
        """The rows of one group after the other."""
        for kernel in self.plan.kernels:
            ways = list(self._ways(kernel))
            for machine in self.plan.machines:
                for accel, steps, whole in ways:
                    guest = self.guest(kernel, machine, accel)
                    yield self._group(kernel, guest, steps, whole)

    def guest(self, kernel: Kernel, machine: str, accel: str) -> Guest:
        """The guest that every image of a group boots."""
        plan = self.plan
        found = replace(
            plan.guest,
            machine=machine,
            kernel=kernel.path,
            accel=accel,
            append=f"{WORDS} {plan.guest.append}".strip(),
        )
        if accel == "tcg" and found.smp == 1:
            found = replace(found, extra=found.extra + found.family.tcg_arguments)
        return found

    def _ways(self, kernel: Kernel) -> Iterator[tuple[str, tuple[Step, ...], bool]]:
        """(accelerator, steps, whether to where the guest tells of it): how a kernel is measured.
        KVM is taken as far as it gets; TCG where that is not all the way."""
        complete = False
        wanted = self._steps(kernel)
        by_the_guest = self.plan.by_the_guest
        if self.plan.accel != "tcg":
            reached = self._under_kvm(kernel)
            complete = (self.plan.last if by_the_guest else wanted[-1].event) in reached
            steps = tuple(step for step in wanted if step.event in reached)
            if steps:
                yield "kvm", steps, by_the_guest and complete
            if not complete:
                where = reached[-1] if reached else "QEMU's start"
                seconds = f"{self.plan.seconds:g} s"
                self.notes.append(
                    f"{kernel.path.name}: under KVM no image got past {where} in {seconds} on "
                    f"{self.plan.machines[0]}"
                    + ("; the whole way is measured under TCG" * (self.plan.accel == "auto"))
                )
        if self.plan.accel == "tcg" or (self.plan.accel == "auto" and not complete):
            yield "tcg", wanted, by_the_guest

    def _steps(self, kernel: Kernel) -> tuple[Step, ...]:
        """Those up to the last event that is asked for."""
        last = self.plan.last
        return tuple(s for s in kernel.steps if s.event in (*last.earlier(), last))

    def _under_kvm(self, kernel: Kernel) -> list[str]:
        """The events that KVM shows, of the image that gets furthest on the first machine."""
        guest = self.guest(kernel, self.plan.machines[0], "kvm")
        try:
            with stopped(command(guest), "-gdb") as connection:
                GdbStub(connection).command("?")  # a QEMU without KVM ends before it answers
        except FwbuildError as error:
            if self.plan.accel == "kvm":
                raise FwbuildError(
                    ExitCode.QEMU, f"KVM does not work here: {error.what}", hint="use --accel tcg"
                ) from None
            return []
        best: list[str] = []
        for contender in self.plan.contenders:
            if contender.baked:
                continue
            self.say(f"{kernel.path.name} under KVM with {contender.name}")
            run = traced(
                guest,
                contender.files[guest.family.name],
                self._steps(kernel),
                self.plan.seconds,
                self.plan.last,
                self.plan.until,
            )
            best = max(best, [str(e) for e in Event if e in run.events], key=len)
            if not run.failure:
                break
        return best

    def _count(self, runner: "_Runner") -> Counts:
        try:
            return runner.count()
        except FwbuildError as error:
            row = runner.row
            self.notes.append(f"{row.image} on {row.machine} was not counted: {error}")
            return None, []

    def _count_by_device(self, runner: "_Runner") -> None:
        row = runner.row
        try:
            row.accesses = runner.accesses()
        except FwbuildError as error:
            self.notes.append(f"{row.image} on {row.machine} was not counted by device: {error}")
        row.advice = advice(runner.guest, row.accesses, linux=row.kind != OTHER)

    def _group(
        self, kernel: Kernel, guest: Guest, steps: tuple[Step, ...], whole: bool
    ) -> list[Row]:
        # A bzImage would be baked as the vmlinux inside, which is another kernel to compare with.
        images = [c for c in self.plan.contenders if not c.baked or kernel.kind == "vmlinux"]
        runners = [_Runner(self.plan, c, kernel, guest, steps, whole) for c in images]
        where = f"{kernel.path.name} on {guest.machine} under {guest.accel.upper()}"
        for runner in runners:
            self.say(f"{where}: {runner.row.image}, warm-up")
            runner.warm_up()
        racing = [runner for runner in runners if not runner.row.failure]
        for number in range(self.plan.rounds):
            first = number % max(1, len(racing))
            order = racing[first:] + racing[:first]
            for measure in (_Runner.race, _Runner.race_plain, _Runner.race_stages):
                for runner in order:
                    self.say(f"{where}: {runner.row.image}, {number + 1} of {self.plan.rounds}")
                    measure(runner)
        for runner in racing if self.plan.counts else ():
            key = (kernel.path, guest.machine, runner.row.image)
            if key not in self.counts:
                self.say(f"{where}: {runner.row.image}, counting")
                self.counts[key] = self._count(runner)
            runner.row.count, runner.row.stage_counts = self.counts[key]
        for runner in racing[:1] if self.plan.counts and whole else ():
            self.say(f"{where}: {runner.row.image}, counting by device")
            self._count_by_device(runner)
        return [runner.row for runner in runners]


class _Runner:
    """One contender in one group."""

    def __init__(
        self,
        plan: Plan,
        contender: Contender,
        kernel: Kernel,
        guest: Guest,
        steps: tuple[Step, ...],
        whole: bool,
    ) -> None:
        self.plan, self.contender, self.kernel, self.guest = plan, contender, kernel, guest
        self.steps = steps
        if contender.baked:
            folder = contender.baked / f"{kernel.path.name}-{guest.machine}"
            self.guest = bake(guest, folder)
            self.bios = folder / BIOS_FILE
        else:
            self.bios = contender.files[guest.family.name]
        self.row = Row(
            machine=guest.machine,
            kernel=kernel.path.name,
            kind=kernel.kind,
            image=contender.name,
            accel=guest.accel,
            whole=whole,
            command=command(self.guest, bios=self.bios),
        )

    def warm_up(self) -> None:
        """Boot once; a failure is the row's."""
        run = self._traced()
        self.row.failure = run.failure
        self.row.entry = self.kernel.entry_name(run.entry)

    def race(self) -> None:
        """One boot of a round: with instruments."""
        self.row.runs.append(self._traced())

    def race_plain(self) -> None:
        """Without them."""
        if self.row.whole:
            run = plain(self.guest, self.bios, self.plan.seconds, self.plan.until)
            self.row.plain.append(run.total)

    def race_stages(self) -> None:
        """With the trace points on, to the kernel."""
        if self.contender.traced:
            self.row.traced.append(
                traced(
                    self.guest,
                    self.contender.traced,
                    self.steps[:1],
                    self.plan.seconds,
                    last=Event.FW_DO_BOOT,
                )
            )

    def count(self) -> Counts:
        """Device accesses and instructions to the kernel, and of each stage, both exact."""
        guest = replace(self.guest, accel="tcg", extra=self.plan.guest.extra)
        whole = count(guest, self.bios, *self.kernel.entries.values())
        if not self.contender.image:
            return whole, []
        recorded = record(guest)
        _, stages = count_stages(self.contender.image, recorded, protocols.load(guest, recorded))
        return whole, [asdict(stage) for stage in stages]

    def accesses(self) -> dict[str, int]:
        """Device accesses of a whole boot, by device."""
        plan = self.plan
        return accesses(self.guest, self.bios, TRACED * plan.seconds, plan.until)

    def _traced(self) -> Run:
        plan = self.plan
        last = plan.last if self.row.whole else self.steps[-1].event
        until = plan.until if self.row.whole else None
        return traced(self.guest, self.bios, self.steps, plan.seconds, last, until)
