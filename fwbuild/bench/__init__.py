"""Measures boots: the six events of the table that this project started from, for any image."""
