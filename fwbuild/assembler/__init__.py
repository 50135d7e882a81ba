"""The assembler: sources in Intel syntax, encoded by keystone, each encoding checked.

source.py parses, expression.py computes constants, encoder.py drives keystone,
check.py reads the bytes back with capstone, link.py gives every fragment its address.
audit.py holds every routine to its contract.
"""
