"""Kernel files: what is in them."""
