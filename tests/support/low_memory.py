"""Test kernels that use memory below 1 MiB as kernels that are not Linux do."""

from collections.abc import Callable

from fwbuild.abi import low_memory
from fwbuild.payloads.test_kernel import build_test_kernel, build_test_multiboot

BUILD: dict[str, Callable[..., bytes]] = {
    "pvh": build_test_kernel,
    "multiboot": build_test_multiboot,
}
CASES = sorted({(spoil.kernel, spoil.protocol) for spoil in low_memory.SPOILS})
