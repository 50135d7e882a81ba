"""An emulated machine: a CPU in its reset state and the devices that the firmware meets.

recording.py holds what a real QEMU offers through fw_cfg, loader.py puts a kernel in as QEMU
does, memory.py is the machine's memory, machine.py runs the image, judge.py holds the handoff
against the PVH ABI.
"""
