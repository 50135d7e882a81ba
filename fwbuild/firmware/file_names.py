"""The fw_cfg files that the firmware asks for, by the names that QEMU gives them.

Source: QEMU, docs/specs/fw_cfg.rst; hw/i386/fw_cfg.c, hw/i386/pc.c, hw/i386/acpi-build.c.
"""

E820 = "etc/e820"  # the host's memory map
FEATURE_CONTROL = "etc/msr_feature_control"  # u64, little-endian
TABLE_LOADER = "etc/table-loader"  # the script that places ACPI's tables
SMBIOS_ANCHOR = "etc/smbios/smbios-anchor"  # the entry point
SMBIOS_TABLES = "etc/smbios/smbios-tables"  # the structures
EXTRA_ROOTS = "etc/extra-pci-roots"  # u64: how many root buses there are besides bus 0
RESERVED_MEMORY_END = "etc/reserved-memory-end"  # u64: where the memory hot-plug region ends

MODULE = "opt/fwbuild/module/1"  # a user's further module; the digit goes up to 9
MODULE_DIGIT = len(MODULE) - 1
