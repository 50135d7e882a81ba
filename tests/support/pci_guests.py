"""Guests with PCI devices, whose recordings are packaged: what an enumeration has to cope with."""

from fwbuild.guest import MIB, Guest

DISK = ("-blockdev", "null-co,node-name=disk,read-zeroes=on")
SHARED = ("-object", "memory-backend-ram,id=shared,size=64M,share=on,reserve=off")


def devices(*names: str) -> tuple[str, ...]:
    """-device for each."""
    return tuple(word for name in names for word in ("-device", name))


GUESTS = {
    "pc": Guest("pc"),
    "q35": Guest("q35"),
    "microvm with PCIe": Guest("microvm,pcie=on"),
    "pc with devices and bridges": Guest("pc", extra=(
        *DISK, *SHARED, *devices(
            "virtio-net-pci,bus=pci.0,addr=3",
            "virtio-blk-pci,bus=pci.0,addr=4,drive=disk",
            "ivshmem-plain,bus=pci.0,addr=5,memdev=shared",
            "virtio-serial-pci,bus=pci.0,addr=7.0,multifunction=on",
            "virtio-rng-pci,bus=pci.0,addr=7.1",
            "pci-bridge,id=one,bus=pci.0,addr=8,chassis_nr=1",
            "e1000,bus=one,addr=1",
            "pci-bridge,id=two,bus=one,addr=2,chassis_nr=2",
            "virtio-rng-pci,bus=two,addr=1f",
            "pci-bridge,id=three,bus=pci.0,addr=9,chassis_nr=3",
        ))),
    "pc with an extra root bus": Guest("pc", extra=devices(
        "pxb,id=far,bus=pci.0,addr=4,bus_nr=64",
        "e1000,bus=far,addr=3",
        "pci-bridge,id=one,bus=pci.0,addr=5,chassis_nr=1",
        "virtio-rng-pci,bus=one,addr=1",
    )),
    "q35 with ports": Guest("q35", extra=(
        *DISK, *SHARED, *devices(
            "pcie-root-port,id=one,bus=pcie.0,addr=2.0,chassis=1,multifunction=on",
            "pcie-root-port,id=two,bus=pcie.0,addr=2.1,chassis=2",
            "virtio-net-pci,bus=one",
            "virtio-gpu-pci,bus=pcie.0,addr=3",
            "ivshmem-plain,bus=two,memdev=shared",
            "pcie-pci-bridge,id=three,bus=pcie.0,addr=4",
            "virtio-blk-pci,bus=three,addr=1,drive=disk",
            "e1000,bus=three,addr=2",
            "pcie-root-port,id=four,bus=pcie.0,addr=5,chassis=3",
            "x3130-upstream,id=up,bus=four",
            "xio3130-downstream,id=down,bus=up,addr=0,chassis=4",
            "virtio-rng-pci,bus=down",
        ))),
    "q35 with an extra root bus": Guest("q35", extra=devices(
        "pxb-pcie,id=far,bus=pcie.0,addr=4,bus_nr=64",
        "pcie-root-port,id=one,bus=far,addr=0,chassis=1",
        "virtio-net-pci,bus=one",
        "pxb-pcie,id=further,bus=pcie.0,addr=5,bus_nr=128",
        "pcie-root-port,id=two,bus=further,addr=0,chassis=2",
        "virtio-rng-pci,bus=two",
    )),
}  # fmt: skip

# What the firmware has to set up besides: large BARs, many bridges, memory hot-plug.
LARGE = ("-object", "memory-backend-ram,id=large,size=16G,share=on,reserve=off")
MORE_GUESTS = {
    "pc with a BAR of 1 GiB": Guest("pc", extra=(
        "-object", "memory-backend-ram,id=large,size=1G,share=on,reserve=off",
        *devices("ivshmem-plain,bus=pci.0,addr=5,memdev=large", "VGA,bus=pci.0,addr=2",
                 "virtio-gpu-pci,bus=pci.0,addr=6", "piix3-usb-uhci,bus=pci.0,addr=7"))),
    "pc with a BAR of 16 GiB behind a bridge": Guest("pc", 6144 * MIB, extra=(
        *LARGE, "-m", "6G,slots=4,maxmem=32G", *devices(
            "pci-bridge,id=one,bus=pci.0,addr=8,chassis_nr=1",
            "pci-bridge,id=two,bus=one,addr=1,chassis_nr=2",
            "ivshmem-plain,bus=two,addr=3,memdev=large", "e1000,bus=two,addr=4"))),
    "pc with 28 bridges and 255 CPUs": Guest("pc", smp=255, extra=devices(
        *(f"pci-bridge,id=b{i},bus=pci.0,addr={i:x},chassis_nr={i}" for i in range(3, 31)),
        "e1000,bus=b3,addr=1", "virtio-rng-pci,bus=b30,addr=1f", "virtio-net-pci,bus=b17,addr=1")),
    "q35 with a BAR of 16 GiB": Guest("q35", 4096 * MIB, extra=(
        *LARGE, *devices(
            "ivshmem-plain,bus=pcie.0,addr=5,memdev=large", "VGA,bus=pcie.0,addr=2",
            "virtio-gpu-pci,bus=pcie.0,addr=6", "ich9-usb-uhci1,bus=pcie.0,addr=1d.0",
            "intel-hda,bus=pcie.0,addr=1b"))),
    "q35 with old bridges": Guest("q35", extra=(
        *LARGE, *devices(
            "ioh3420,id=one,bus=pcie.0,addr=2,chassis=1", "ivshmem-plain,bus=one,memdev=large",
            "i82801b11-bridge,id=two,bus=pcie.0,addr=1e",
            "pci-bridge,id=three,bus=two,addr=1,chassis_nr=1",
            "pci-bridge,id=four,bus=three,addr=2,chassis_nr=2",
            "e1000,bus=four,addr=3", "virtio-net-pci,bus=three,addr=1f",
            "pcie-root-port,id=five,bus=pcie.0,addr=3,chassis=2,io-reserve=0",
            "pcie-pci-bridge,id=six,bus=five", "virtio-net-pci,bus=six,addr=2,rombar=0"))),
    "q35 with 16 ports": Guest("q35", extra=devices(
        *(f"pcie-root-port,id=p{i},bus=pcie.0,addr={4 + i // 8:x}.{i % 8},chassis={i + 1},"
          "multifunction=on" for i in range(16)),
        *(f"virtio-net-pci,bus=p{i}" for i in range(16)))),
}  # fmt: skip
