"""Which tests take tens of seconds each although a shorter one says nearly the same."""

import pytest

# `make test` leaves them out, `make qemu` has them.
LONG = {
    "test_kernel_file.py::test_linux_without_a_note[pc]": "as on q35",
    "test_boot_linux.py::test_memtest86plus[x64]": "ia32 is loaded in the same way",
    "test_peers.py::test_the_kernel_has_no_more_to_do[pc]": "as on microvm",
    "test_peers.py::test_the_kernel_has_no_more_to_do[q35]": "as on microvm",
    "test_gdb.py::test_run_to_a_symbol_of_the_kernel[start_kernel]": "as to startup_64",
    "test_hibernate.py::test_hibernate[q35-vmlinuz]": "as on pc",
    "test_bench.py::test_bench[bzImage]": "as of a vmlinux",
    "test_bench.py::test_advice[quiet]": "test_bench_devices.py holds the advice to its numbers",
    "test_bench.py::test_advice[tsc_early_khz=N]": "as of quiet",
    "test_bench.py::test_advice[hpet=off]": "as of quiet",
    "test_bench.py::test_advice[pci=nommconf]": "as of quiet",
    "test_bench.py::test_advice[i8042=off]": "as of quiet",
    "test_devices.py::test_recording_without_dma[microvm]": "as on pc",
    "test_matrix.py::test_entry[pc-255-cpus-universal]": "microvm has as many",
    "test_matrix.py::test_entry[pc-with-28-bridges-and-64-cpus-universal]": "64 are on q35",
    "test_matrix.py::test_reboots[microvm]": "test_reboots.py reboots twenty times",
    "test_matrix.py::test_reboots[q35]": "test_reboots.py reboots twenty times",
    "test_matrix.py::test_boot[microvm-kernel-without-dma-and-acpi-universal]": "as on pc and q35",
    "test_matrix.py::test_boot[other-kernel-686-pae-vmlinuz-universal]": "its vmlinux boots, too",
    "test_matrix.py::test_boot[pc-with-devices-and-bridges-linux]": "as q35-with-ports-linux",
    "test_matrix.py::test_boot[pc-with-an-extra-root-bus-universal]": "as on q35",
    "test_agreement_protocols.py::test_same_state[Debian-6144-pc]": "as on q35",
    "test_uki.py::test_linux_in_a_uki[pvh-pc]": "as on microvm",
    "test_uki.py::test_linux_in_a_uki[pvh-q35]": "as on microvm",
    "test_uki.py::test_linux_in_a_uki[bzImage-microvm]": "as on pc",
    "test_uki.py::test_linux_in_a_uki[bzImage-q35]": "as on pc",
    "test_bake.py::test_linux[pc-6442450944]": "as on q35",
    "test_use_with.py::test_libvirt_starts_a_baked_guest[q35]": "as on pc",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.removeprefix("tests/qemu/") in LONG:
            item.add_marker("long")
