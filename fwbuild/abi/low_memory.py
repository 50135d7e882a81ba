"""Memory below 1 MiB, as kernels and other loaders use it.

No protocol says where a loader may put what it hands over, so kernels rely on the places of the
loaders that they were tried on. The layout is held against this table, and the project's test
kernel spoils memory as these kernels do.
"""

from dataclasses import dataclass

from fwbuild.abi import e820, pvh


@dataclass(frozen=True)
class Spoil:
    """A range that a kernel writes before it has read all that it was handed, in bytes."""

    kernel: str
    protocol: str
    start: int
    end: int
    what: str
    source: str


SPOILS = (
    Spoil("OSv", "pvh", 0x1000, 0x2000, "its own information", "OSv, arch/x64/pvh-boot.cc"),
    Spoil(
        "OSv", "pvh", 0x2000, 0x2000 + pvh.MEMMAP_ENTRIES_MAX * 24, "its own memory map, 24 bytes "
        "a range", "OSv, arch/x64/pvh-boot.cc"),
    Spoil("Nanos", "pvh", 0x7C00, 0x7E00, "its list of regions, growing down",
          "Nanos, src/x86_64/region.h"),
    Spoil("Nanos", "pvh", 0x8000, 0xA000, "its stack, growing down", "Nanos, src/x86_64/crt0.s"),
    Spoil("Nanos", "pvh", 0xFD000, e820.EXTENDED, "page tables", "Nanos, src/x86_64/crt0.s"),
    Spoil("IncludeOS", "multiboot", 0x1000, 0x3000, "page tables",
          "IncludeOS, src/arch/x86_64/arch_start.asm"),
    Spoil("IncludeOS", "multiboot", 0x9CFF0, 0x9D3F0, "its stack, growing down",
          "IncludeOS, src/platform/x86_pc/start.asm"),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where another loader puts something that it hands over."""

    loader: str
    what: str
    address: int
    source: str


FIRECRACKER = "Firecracker, src/vmm/src/arch/x86_64/layout.rs"
CLOUD_HYPERVISOR = "Cloud Hypervisor, arch/src/x86_64/layout.rs"
QEMU = "QEMU, hw/i386/x86.c x86_load_linux()"
PLACES = (
    Place("Firecracker, Cloud Hypervisor", "hvm_start_info", 0x6000,
          f"{FIRECRACKER}; {CLOUD_HYPERVISOR}"),
    Place("Firecracker, Cloud Hypervisor", "PVH's memory map", 0x7000,
          f"{FIRECRACKER}; {CLOUD_HYPERVISOR}"),
    Place("Firecracker, Cloud Hypervisor, QEMU", "the command line", 0x20000,
          f"{FIRECRACKER}; {CLOUD_HYPERVISOR}; {QEMU}"),
    Place("QEMU", "boot_params and setup code", 0x10000, QEMU),
)  # fmt: skip
