"""The firmware's own variables and the structures that it hands over, in RAM.

Nothing outside the firmware relies on this layout; where it lies is layout.py's to say.
"""

from construct import Array, Int32ul, Struct

from fwbuild.abi import fw_cfg, pvh, x86

GDT_ENTRIES = 4  # null, TSS, code, data: the order of x86.SELECTOR_*

DIRECTORY_PIECE = 128  # entries of the fw_cfg directory that one transfer reads

FILE = Struct(  # where a fw_cfg file is; size 0 means the host does not have it
    "size" / Int32ul,
    "select" / Int32ul,
)

WORK = Struct(
    # Up to `dma` the image holds a template; the rest starts as zeros.
    "gdt" / Array(GDT_ENTRIES, x86.DESCRIPTOR),
    "start_info" / pvh.START_INFO,
    "initrd_module" / pvh.MODLIST_ENTRY,
    "empty_string" / Int32ul,
    "memmap_end" / Int32ul,  # address behind the last entry of the memory map
    "dma" / fw_cfg.DMA,
    "signature" / Int32ul,
    "fw_cfg_by_port" / Int32ul,  # not 0: the device has no DMA
    "kernel_entry" / Int32ul,
    "kernel_addr" / Int32ul,
    "kernel_size" / Int32ul,
    "setup_size" / Int32ul,
    "kernel_data_size" / Int32ul,  # of KERNEL_DATA; kernel_size spans what the kernel uses
    "enter" / Int32ul,  # the routine that enters the kernel
    "cmdline_size" / Int32ul,
    "e820" / FILE,
)
