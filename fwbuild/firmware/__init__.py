"""What the firmware decides for itself: its layout in memory, its variables, its stop codes.

Contracts that others specify are in fwbuild/abi.
"""
