"""Coverage-guided fuzzing of the firmware in the emulated machine.

native.py counts blocks and stores without a step of Python, memory.py and machine.py are a machine
that starts again from a snapshot, bases.py are recorded hosts, inputs.py changes of one as text,
honest.py what as good a host offers, contents.py and lies.py what a liar does, draw.py draws both,
verdict.py tells whether a run ended as it may, and run.py keeps the inputs that reach something
new. tests/unit/test_properties.py draws from the same.
"""
