"""The record in which an image names itself, for `fwbuild inspect`.

A record lies after the reset vector's jump, in bytes that nothing else can use. It tells
where the used part of the image starts, and that starts with a text that ends with a zero:
fwbuild's version, a space and the template's name. The last two bytes of the image stay zero;
the first of them is where programs look for a PC's model.
"""

from construct import Int8ul, Int16ul, Int32ul, Struct

from fwbuild.abi import x86

MAGIC = int.from_bytes(b"fwbd", "little")
FORMAT = 1

RECORD = Struct(
    "magic" / Int32ul * "the bytes fwbd",
    "format" / Int8ul * "of this record: 1",
    "start" / Int16ul * "low 16 bits of the address where the used part starts",
)
ADDRESS = x86.RESET_VECTOR + 3  # a near jump in 16-bit code is that long
