"""The interrupt controllers, timer and clock that every PC has had.

Source: Intel 8259A (231468) and 8254 (231164), Motorola MC146818A data sheets.
"""

PIC_MASTER = 0x20  # command; the data port is the next one
PIC_SLAVE = 0xA0
ICW1 = 1 << 4  # this command begins the initialisation
ICW1_ICW4 = 1 << 0  # a fourth word follows
ICW1_SINGLE = 1 << 1  # no third word follows
ICW4_8086 = 1 << 0
# Where a PC's firmware puts the vectors of IRQ 0 and IRQ 8.
PIC_MASTER_VECTOR = 0x08
PIC_SLAVE_VECTOR = 0x70
PIC_ALL_MASKED = 0xFF

ICW3_MASTER, ICW3_SLAVE = 1 << 2, 2  # the slave hangs on IRQ 2
PIC_EOI = 0x20  # command: the interrupt in service is over

PIT = 0x40  # three counters, then the control word
PIT_CONTROL = 3
PIT_LOW = 1  # access to a counter: its low byte, its high one, or both in turn
PIT_HIGH = 2
PIT_WORD = 3
PIT_RATE = 2  # mode: a pulse each time it has counted down

CMOS_INDEX = 0x70
CMOS_DATA = 0x71
CMOS_SIZE = 0x80
CMOS_CLOCK = (0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32)  # what time changes
CMOS_READ_ONLY = (0x0C, 0x0D)
CMOS_SHUTDOWN = 0x0F  # QEMU: rtc_notify_suspend() writes this before a reset that is a wake
CMOS_SHUTDOWN_S3 = 0xFE
CMOS_VALID = 0x0D  # register D: 0x80 while there is power
