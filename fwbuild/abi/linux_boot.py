"""Linux's x86 boot protocol: the header of a bzImage, and boot_params (the "zero page").

Source: Linux, Documentation/arch/x86/boot.rst and zero-page.rst, and
arch/x86/include/uapi/asm/bootparam.h. The header has the same offsets in the file as in
boot_params. All fields are little-endian.
"""

from enum import IntFlag

from construct import Array, Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

from fwbuild.abi import e820

HEADER_FIELDS = (
    "setup_sects" / Int8ul,  # 0 means 4
    "root_flags" / Int16ul,
    "syssize" / Int32ul,
    "ram_size" / Int16ul,
    "vid_mode" / Int16ul,
    "root_dev" / Int16ul,
    "boot_flag" / Int16ul,
    "jump" / Int16ul,  # its second byte: where the header ends, from `header`
    "header" / Bytes(4),
    "version" / Int16ul,
    "realmode_swtch" / Int32ul,
    "start_sys_seg" / Int16ul,
    "kernel_version" / Int16ul,
    "type_of_loader" / Int8ul,
    "loadflags" / Int8ul,
    "setup_move_size" / Int16ul,
    "code32_start" / Int32ul,
    "ramdisk_image" / Int32ul,
    "ramdisk_size" / Int32ul,
    "bootsect_kludge" / Int32ul,
    "heap_end_ptr" / Int16ul,  # from the start of the setup code, less 0x200
    "ext_loader_ver" / Int8ul,
    "ext_loader_type" / Int8ul,
    "cmd_line_ptr" / Int32ul,
    "initrd_addr_max" / Int32ul,  # the initrd's last byte may lie here
    "kernel_alignment" / Int32ul,
    "relocatable_kernel" / Int8ul,
    "min_alignment" / Int8ul,
    "xloadflags" / Int16ul,
    "cmdline_size" / Int32ul,  # longest command line without its zero
    "hardware_subarch" / Int32ul,
    "hardware_subarch_data" / Int64ul,
    "payload_offset" / Int32ul,  # from the protected-mode code; protocol 2.08
    "payload_length" / Int32ul,
    "setup_data" / Int64ul,  # first of a list of SETUP_DATA
    "pref_address" / Int64ul,
    "init_size" / Int32ul,  # bytes that the kernel needs from its run-time start on
    "handover_offset" / Int32ul,
    "kernel_info_offset" / Int32ul,
)

HEADER_OFFSET = 0x1F1
SETUP_HEADER = Struct(Padding(HEADER_OFFSET), *HEADER_FIELDS)
HEADER_JUMP_BASE = 0x202  # what `jump` is relative to
HEADER_END_MAX = HEADER_JUMP_BASE + 0x102  # it jumps this far at most; whole dwords

E820_MAX = 128

BOOT_PARAMS = Struct(
    "screen_info" / Bytes(0x40),
    "apm_bios_info" / Bytes(0x14),
    Padding(4),
    "tboot_addr" / Int64ul,
    "ist_info" / Bytes(0x10),
    "acpi_rsdp_addr" / Int64ul,  # protocol 2.14
    Padding(8),
    "hd0_info" / Bytes(0x10),
    "hd1_info" / Bytes(0x10),
    "sys_desc_table" / Bytes(0x10),
    "olpc_ofw_header" / Bytes(0x10),
    "ext_ramdisk_image" / Int32ul,
    "ext_ramdisk_size" / Int32ul,
    "ext_cmd_line_ptr" / Int32ul,
    Padding(0x13C - 0xCC),
    "cc_blob_address" / Int32ul,
    "edid_info" / Bytes(0x80),
    "efi_info" / Bytes(0x20),
    "alt_mem_k" / Int32ul,
    "scratch" / Int32ul,
    "e820_entries" / Int8ul,
    "eddbuf_entries" / Int8ul,
    "edd_mbr_sig_buf_entries" / Int8ul,
    "kbd_status" / Int8ul,
    "secure_boot" / Int8ul,
    Padding(2),
    "sentinel" / Int8ul,  # not 0: the kernel takes all but the header for garbage
    Padding(1),
    "hdr" / Struct(*HEADER_FIELDS),
    Padding(0x290 - 0x26C),
    "edd_mbr_sig_buffer" / Bytes(0x40),
    "e820_table" / Array(E820_MAX, e820.ENTRY),
    Padding(0xD00 - 0xCD0),
    "eddbuf" / Bytes(0x1EC),
    Padding(0x1000 - 0xEEC),
)

SETUP_DATA = Struct(
    "next" / Int64ul,
    "type" / Int32ul,
    "len" / Int32ul,  # bytes that follow
)
SETUP_DATA_ALIGN = 16

HEADER_MAGIC = b"HdrS"
BOOT_FLAG = 0xAA55
SECTOR = 512
SETUP_SECTS_DEFAULT = 4
SETUP_STACK = 0xFFF0  # SP at the 16-bit entry: what QEMU calls heap ends here
SETUP_SIZE_MIN = 2 * SECTOR  # the boot sector, and a sector that is entered
SETUP_SIZE_MAX = 0x8000  # the setup code's own first half of its segment
# Where QEMU's -kernel tells a firmware to put them. Source: QEMU, hw/i386/x86.c x86_load_linux().
QEMU_SETUP_ADDR = 0x10000  # boot sector and setup code
QEMU_CMDLINE_ADDR = 0x20000
QEMU_KERNEL_ADDR = 0x100000  # of a kernel that is loaded high
ENTRY_64 = 0x200  # the 64-bit entry, from the 32-bit one
TYPE_OF_LOADER = 0xFF  # one that has no number
PROTOCOL_CMDLINE = 0x202  # the first with cmd_line_ptr
PROTOCOL_SYSSIZE = 0x204  # the first whose syssize is true
PROTOCOL_PAYLOAD = 0x208  # the first that tells where the payload is
PROTOCOL_MODERN = 0x20C  # the first with xloadflags, and with all that a 32-bit entry needs
PROTOCOL_NEWEST = 0x20F


class LoadFlag(IntFlag):
    """Bits of loadflags."""

    LOADED_HIGH = 1 << 0
    KASLR = 1 << 1
    QUIET = 1 << 5
    KEEP_SEGMENTS = 1 << 6
    CAN_USE_HEAP = 1 << 7


class XLoadFlag(IntFlag):
    """Bits of xloadflags."""

    KERNEL_64 = 1 << 0
    CAN_BE_LOADED_ABOVE_4G = 1 << 1
    EFI_HANDOVER_32 = 1 << 2
    EFI_HANDOVER_64 = 1 << 3
    EFI_KEXEC = 1 << 4
    FIVE_LEVEL = 1 << 5
    FIVE_LEVEL_ENABLED = 1 << 6
    MEM_ENCRYPTION = 1 << 7
