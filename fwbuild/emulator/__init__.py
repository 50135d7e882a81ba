"""An emulated machine: a CPU in its reset state and the devices that the firmware meets.

recording.py holds what a real QEMU offers through fw_cfg and PCI, loader.py puts a kernel in as
QEMU does, machine.py runs the image, pci/ is what it finds in configuration space, judge.py holds
the handoff against the PVH ABI.
"""
