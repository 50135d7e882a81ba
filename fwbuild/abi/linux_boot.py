"""The header of a Linux bzImage.

Source: Linux, Documentation/arch/x86/boot.rst. Offsets are those in the file.
"""

from construct import Bytes, Int8ul, Int16ul, Int32ul, Padding, Struct

SETUP_HEADER = Struct(
    Padding(0x1F1),
    "setup_sects" / Int8ul,  # 0 means 4
    Padding(0x1FE - 0x1F2),
    "boot_flag" / Int16ul,
    "jump" / Int16ul,
    "header" / Bytes(4),
    "version" / Int16ul,
    Padding(0x248 - 0x208),
    "payload_offset" / Int32ul,  # from the protected-mode code; protocol 2.08
    "payload_length" / Int32ul,
)

HEADER_MAGIC = b"HdrS"
SECTOR = 512
SETUP_SECTS_DEFAULT = 4
PROTOCOL_PAYLOAD = 0x208  # the first that tells where the payload is
