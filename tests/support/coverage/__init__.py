"""Which lines of the assembly, and which directions of its branches, the emulated tests take.

places.py finds the line of an address in an image, recorder.py watches the emulated CPUs of a
pytest run and writes down what each test took, report.py puts it on the source.
"""
