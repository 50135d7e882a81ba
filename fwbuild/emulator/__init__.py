"""An emulated machine: a CPU in its reset state and the devices that the firmware meets.

recording.py holds what a real QEMU offers through fw_cfg and PCI, loaded.py what its loader has
made of a kernel, memory.py is the machine's memory, board.py its devices, pci/ what is in
configuration space. machine.py runs the image, state.py is the guest at the kernel's entry, which
fwbuild/protocols reads and judges.

A source that is a file of QEMU is version 7.2's, here and elsewhere, where no other is named.
"""
