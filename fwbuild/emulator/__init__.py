"""An emulated machine: a CPU in its reset state and the devices that the firmware meets.

recording.py holds what a real QEMU offers through fw_cfg and PCI, loader/ puts a kernel in as
QEMU does, memory.py is the machine's memory, board.py its devices, pci/ what is in configuration
space, machine.py runs the image, judge.py and its siblings hold the handoff against the host and
the boot protocol.

A source that is a file of QEMU is version 7.2's, here and elsewhere, where no other is named.
"""
