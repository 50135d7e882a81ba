"""The PCI side of the emulated machine.

function.py is one function's configuration space, bridge.py one with a secondary bus, bus.py
finds a function by bus number, access.py is how the CPU gets there, chipset.py what the
chipset's own functions do besides. What each function holds is recorded from a real QEMU.
"""
