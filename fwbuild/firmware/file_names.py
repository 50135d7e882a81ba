"""The fw_cfg files that the firmware asks for, by the names that QEMU gives them.

Source: QEMU, docs/specs/fw_cfg.rst; hw/i386/fw_cfg.c, hw/i386/pc.c, hw/i386/acpi-build.c,
hw/misc/pvpanic-isa.c.
"""

E820 = "etc/e820"
FEATURE_CONTROL = "etc/msr_feature_control"
TABLE_LOADER = "etc/table-loader"
SMBIOS_ANCHOR = "etc/smbios/smbios-anchor"
SMBIOS_TABLES = "etc/smbios/smbios-tables"
EXTRA_ROOTS = "etc/extra-pci-roots"
RESERVED_MEMORY_END = "etc/reserved-memory-end"
PVPANIC_PORT = "etc/pvpanic-port"

KERNEL = "opt/fwbuild/kernel"
CMDLINE = "opt/fwbuild/cmdline"
APPEND = "opt/fwbuild/append"
MODULE = "opt/fwbuild/module/1"
MODULE_DIGIT = len(MODULE) - 1
MODULE_CMDLINE = f"{MODULE}/cmdline"
MODULES_MAX = 9  # their numbers have one digit


def module(number: int) -> str:
    """The file of a module, numbered from 1."""
    return MODULE[:MODULE_DIGIT] + str(number)


def module_cmdline(number: int) -> str:
    """The file of a module's command line."""
    return MODULE_CMDLINE.replace(MODULE, module(number))


# What each file holds. Numbers are little-endian.
CONTENTS = {
    E820: "the host's memory map",
    FEATURE_CONTROL: "u64: the value of MSR IA32_FEATURE_CONTROL",
    TABLE_LOADER: "the script that places the ACPI tables",
    SMBIOS_ANCHOR: "the SMBIOS entry point",
    SMBIOS_TABLES: "the SMBIOS structures",
    EXTRA_ROOTS: "u64: how many root buses there are besides bus 0",
    RESERVED_MEMORY_END: "u64: where the memory hot-plug region ends",
    PVPANIC_PORT: "u16: the port of the pvpanic device on ISA",
    KERNEL: "a kernel for the firmware to load, an ELF file",
    CMDLINE: "the command line of that kernel",
    APPEND: "what is added to the command line of a guest in a RAM file",
    MODULE: "a further module of the user's; the digit goes up to 9",
    MODULE_CMDLINE: "the command line of that module",
}
