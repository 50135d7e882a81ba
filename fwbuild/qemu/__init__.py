"""The real QEMU: its command line, its fw_cfg through qtest, its CPU through gdb."""
