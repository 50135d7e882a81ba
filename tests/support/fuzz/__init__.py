"""Coverage-guided fuzzing of the firmware in the emulated machine.

native.py counts blocks and stores without a step of Python, memory.py and machine.py are a machine
that starts again from a snapshot, bases.py are the honest hosts, inputs.py a host's lies as text,
contents.py and lies.py what they are made of, draw.py draws them, verdict.py tells whether a run
ended as it may, and run.py keeps the inputs that reach something new.
"""
