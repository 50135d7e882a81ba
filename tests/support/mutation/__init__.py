"""Changes the assembly a little, and looks whether a test notices.

mutants.py makes the changes, run.py runs for each the tests that took its line.
"""
