"""Why the firmware stops: one table for the firmware, the tools, the docs and the tests.

The firmware prints `fwbuild: <code> <what> <detail>` and writes <code> to isa-debug-exit.
Codes are stable: a number is never given a second meaning.
"""

import re
from dataclasses import dataclass

from fwbuild.machines import MACHINES, PC, Q35

SUPPORTED = f"{', '.join(MACHINES[:-1])} or {MACHINES[-1]}"


@dataclass(frozen=True)
class Stop:
    """One reason to stop. `detail` says what the printed hexadecimal number is."""

    code: int
    name: str  # the symbol: stop.<name> in assembly
    what: str  # the words that are printed
    detail: str
    hint: str


STOPS: tuple[Stop, ...] = (
    Stop(0x10, "NO_FW_CFG", "no fw_cfg device", "signature read",
         f"the image needs QEMU's fw_cfg: {SUPPORTED}"),
    Stop(0x11, "FW_CFG_DMA", "fw_cfg DMA error", "control word",
         "QEMU refused a transfer; report it with the QEMU version"),
    Stop(0x12, "EXCEPTION", "exception", "its number, and the low 24 bits of its address",
         "the firmware ran into a fault; report it with QEMU's version and command line"),
    Stop(0x13, "FW_CFG_FILES", "too many fw_cfg files", "files",
         "give the guest fewer files (-fw_cfg)"),
    Stop(0x14, "MACHINE", "image for another machine", "none",
         "the image's template names one machine type; start QEMU with it (-M)"),
    Stop(0x20, "NO_KERNEL", "no kernel", "none",
         "start QEMU with -kernel FILE"),
    Stop(0x21, "KERNEL_KIND", "kernel kind not supported",
         "kernel entry, or a bzImage's protocol version",
         "the image's template leaves this boot protocol out; use the universal template"),
    Stop(0x22, "KERNEL_RANGE", "kernel outside RAM", "kernel address",
         "give the guest more memory (-m), or link the kernel lower"),
    Stop(0x23, "KERNEL_OVERLAP", "kernel overlaps firmware", "kernel address",
         "link the kernel at 1 MiB or higher"),
    Stop(0x24, "KERNEL_ENTRY", "entry outside kernel", "kernel address",
         "the entry of the ELF note, or of the file, does not lie in a loaded segment; relink the "
         "kernel"),
    Stop(0x25, "SETUP_SIZE", "bad size of the setup code", "size in bytes",
         "the bzImage is damaged: its setup code takes 1 KiB at least and 32 KiB at most"),
    Stop(0x26, "GAVE_UP", "the payload gave up", "none",
         "it went back to the BIOS (INT 18h or 19h), which has nothing else to boot"),
    Stop(0x27, "SETUP_DATA", "bad setup_data", "its address",
         "the bzImage's setup_data points into the kernel itself; build or copy the kernel again"),
    Stop(0x28, "KERNEL_FILE", "kernel file not supported", "a number from its ELF header",
         "opt/fwbuild/kernel has to be a Multiboot kernel, or an ELF file for x86 with a PVH note; "
         "without a note a 64-bit one, and the CPU has long mode (-cpu)"),
    Stop(0x29, "KERNEL_ELF", "bad kernel file", "a segment's address, or a number from its headers",
         "the kernel's file is damaged (readelf -lW shows its program headers), or the addresses "
         "in its Multiboot header contradict each other"),
    Stop(0x2A, "NO_RECORD", "no baked guest in RAM", "what stands in its place",
         "start QEMU with the options that `fwbuild bake` wrote, RAM file included"),
    Stop(0x2B, "RECORD_SPENT", "baked guest was started before", "none",
         "a baked guest starts once: end QEMU at a reset (-no-reboot); if this was its first "
         "start, the RAM file was used with share=on: bake it again"),
    Stop(0x2C, "RECORD_MEMORY", "baked guest is for other memory", "where its low RAM ends",
         "give QEMU the machine type and -m that `fwbuild bake` wrote, or bake for this one"),
    Stop(0x2D, "RECORD_MODULES", "too many baked modules", "modules",
         "the record in the RAM file is damaged; bake it again"),
    Stop(0x2E, "KERNEL_WANTS", "kernel wants too much",
         "flags of its Multiboot header, or the type of what a tag there wants",
         "its header asks for a video mode, for EFI or the like, which this firmware has not"),
    Stop(0x30, "NO_E820", "no etc/e820", "none",
         f"the machine type gives no memory map; use {SUPPORTED}"),
    Stop(0x31, "E820_SIZE", "bad size of etc/e820", "size in bytes",
         "the file does not hold whole entries, or it holds too many"),
    Stop(0x32, "E820_ENTRIES", "too many e820 entries", "entries",
         "a PVH kernel takes 126; give the guest fewer memory devices"),
    Stop(0x33, "E820_OVERLAP", "e820 ranges overlap", "address of the second range",
         "the host's map contradicts itself"),
    Stop(0x34, "E820_RANGE", "bad e820 range", "address",
         "a range of type 0, one that wraps past 2^64, or RAM where devices or the firmware are"),
    Stop(0x35, "E820_LOW", "no RAM at 0", "none",
         f"the machine type's memory does not start at address 0; use {SUPPORTED}"),
    Stop(0x36, "E820_SMALL", "too little RAM",
         "bytes of it; 0 where the firmware itself has no room",
         "give the guest more memory (-m)"),
    Stop(0x40, "CMDLINE_SIZE", "command line too long", "size in bytes",
         "shorten -append, or a module's command line"),
    Stop(0x41, "INITRD_RANGE", "initrd outside RAM", "initrd address",
         "give the guest more memory (-m), or a smaller -initrd"),
    Stop(0x42, "INITRD_OVERLAP", "initrd overlaps kernel or firmware", "initrd address",
         "give the guest more memory (-m), or a smaller -initrd"),
    Stop(0x43, "INITRD_LIMIT", "initrd above the kernel's limit", "initrd address",
         "give the guest less memory (-m): this kernel takes an initrd only so high"),
    Stop(0x44, "NO_ROOM", "no memory for tables", "size in bytes",
         "give the guest more memory (-m)"),
    Stop(0x45, "INFO_SIZE", "Multiboot 2 information too long", "bytes of what does not fit",
         "shorten -append or a module's command line, or strip the kernel of sections"),
    Stop(0x48, "CPUS", "CPUs do not wake", "CPUs that are awake",
         "use a template without wake_cpus; kernels wake the CPUs themselves"),
    Stop(0x49, "FEATURE_CONTROL", "bad etc/msr_feature_control", "its size, or what it holds",
         "the host wants bits set that no CPU has; report it with the QEMU version"),
    Stop(0x50, "ACPI_SCRIPT_SIZE", "bad size of etc/table-loader", "size in bytes",
         "the file does not hold whole entries, or it holds too many"),
    Stop(0x51, "ACPI_SCRIPT", "bad entry in etc/table-loader", "offset of the entry",
         "the entry contradicts the files it names, or is of an unknown kind"),
    Stop(0x58, "SMBIOS_ANCHOR", "bad SMBIOS entry point", "size in bytes",
         "the host's etc/smbios/smbios-anchor is neither a 2.1 nor a 3.0 entry point"),
    Stop(0x59, "SMBIOS_TABLES", "bad SMBIOS tables", "size in bytes",
         "a structure of the host's etc/smbios/smbios-tables goes past the end"),
    Stop(0x60, "PCI_FUNCTIONS", "too many PCI functions", "configuration address",
         "give the guest fewer PCI devices"),
    Stop(0x61, "PCI_BUSES", "no PCI bus number left", "configuration address of the bridge",
         "give the guest fewer bridges, or its extra root buses higher numbers (bus_nr)"),
    Stop(0x68, "WAKE_VMLINUX",
         f"no wake: QEMU loaded the vmlinux again; set {PC.s3_off}, {Q35.s3_off}",
         "none",
         f"boot the bzImage, or start QEMU with -global {PC.s3_off} (pc) or "
         f"-global {Q35.s3_off} (q35), so that the guest does not suspend to RAM"),
    Stop(0x69, "WAKE_VECTOR", "no waking vector", "RSDP address",
         "the guest's memory does not hold what it suspended with"),
)  # fmt: skip

BY_CODE = {stop.code: stop for stop in STOPS}
BY_NAME = {stop.name: stop for stop in STOPS}
LINE = re.compile(r"fwbuild: ([0-9a-f]{2}) (?:.*?\b([0-9a-f]{8})\b)?")


def told(console: str) -> tuple[Stop | None, str]:
    """The stop that the firmware told on its console, and the detail's digits; (None, "") if
    there is none."""
    found = LINE.search(console)
    stop = BY_CODE.get(int(found[1], 16)) if found else None
    return (stop, found[2] or "") if found and stop else (None, "")
