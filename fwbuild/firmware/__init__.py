"""The firmware's own decisions: its layout in memory, its variables, its stop codes.

Contracts that others specify are in fwbuild/abi.
"""
