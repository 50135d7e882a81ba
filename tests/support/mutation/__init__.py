"""Changes the assembly a little, and looks whether a test notices.

mutants.py makes the changes, order.py says which tests may notice one, run.py runs them.
"""
