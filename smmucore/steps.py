"""The vocabulary of a policy: what a handler or a client can do, and when.

A step is one indivisible thing that a CPU does: a register access, a report, a print, a wake-up.
Its order among the others *is* the policy.  The compiled dispatcher knows these numbers; people
write the constructors at the end of this page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from smmucore.registers import SCTLR_CFCFG, SCTLR_CFIE, SCTLR_HUPCF

# --- what a step does ------------------------------------------------------------------
READ_FSR = 0
READ_FAR = 1
READ_FSYNR0 = 2
READ_OTHER = 3  # any register whose value no rule here depends on
CHECK = 4
REPORT = 5
LOG = 6
WRITE_FSR_READ = 7
WRITE_FSR_ALL = 8
WRITE_RESUME = 9
SCTLR_CLEAR = 10
SCTLR_SET = 11
LOCK = 12
UNLOCK = 13
WAKE = 14
CAPTURE = 15
MAP_PAGE = 16
RETURN = 17
IRQ_OFF = 18
IRQ_ON = 19
TLBI_BY_ASID = 20
SYNC_TLB = 21
NOTE_FAR = 22
COOL_DOWN = 23
MAY_STALL = 24
PM_GET = 25
PM_GET_IF_ACTIVE = 26
PM_PUT = 27
SPEND = 28
NEXT_EVENT = 29
QUEUE_EVENT = 30
CMD_RESUME = 31

# SPEND's argument: which cost.
TBU_HALT = 0
ATOS = 1
SOFT_WALK = 2
SPENT = ("tbu_halt", "atos", "soft_walk")

# --- codes a client returns (and RETURN's argument: 0 IRQ_NONE, 1 IRQ_HANDLED) --------------
OK = 0
ENOSYS = 1
EAGAIN = 2
EFAULT = 3
EBUSY = 4
EINVAL = 5
CODE_NAMES = ("0", "-ENOSYS", "-EAGAIN", "-EFAULT", "-EBUSY", "-EINVAL")

# WRITE_RESUME's argument.
BY_TERMINATE = 0
BY_RETRY = 1
BY_RETURN = 2  # retry if the client returned the code in bits 8.., else terminate
BY_MAPPED = 3  # retry if MAP_PAGE succeeded

# REPORT's argument, beside the codes in bits 15:0.
REPORT_DUMPS = 1 << 16
REPORT_NEEDS_SS = 1 << 17  # of the copy of FSR, for a dump

IRQ_NONE = 0
IRQ_HANDLED = 1

# --- conditions: bits that must all hold -------------------------------------------------
IF_SS = 1 << 8  # this pass's copy of FSR has SS
IF_DUMP = 1 << 9  # this pass decided to capture a dump
IF_NO_DUMP = 1 << 10
IF_NOT_DUMPED = 1 << 11  # no crash dump exists now
IF_STALL_ON = 1 << 12  # stall is on in the driver's book
IF_MAY_STALL = 1 << 13  # this pass's MAY_STALL said so
IF_NEW = 1 << 14  # this pass's NOTE_FAR found FAR new
IF_KNOWN = 1 << 15
IF_NO_SS = 1 << 16
RET_MASK = 0xFF  # the return code is one of these (bit n: code n); 0: any


@dataclass(frozen=True)
class Step:
    """One step: what, with which argument, under which condition, and how it reads."""

    op: int
    arg: int
    when: int
    text: str

    def __str__(self) -> str:
        return self.text + self.condition()

    def condition(self) -> str:
        """Spell the condition, with a leading space, or nothing."""
        words = []
        if self.when & IF_SS:
            words.append("SS")
        if self.when & IF_NO_SS:
            words.append("not SS")
        if self.when & IF_DUMP:
            words.append("dumping")
        if self.when & IF_NO_DUMP:
            words.append("not dumping")
        if self.when & IF_NOT_DUMPED:
            words.append("no dump exists")
        if self.when & IF_STALL_ON:
            words.append("stall is on")
        if self.when & IF_MAY_STALL:
            words.append("it may stall")
        if self.when & IF_NEW:
            words.append("FAR is new")
        if self.when & IF_KNOWN:
            words.append("FAR is known")
        codes = [name for n, name in enumerate(CODE_NAMES) if self.when >> n & 1]
        if codes:
            words.append("client returned " + " or ".join(codes))
        return f"  [if {' and '.join(words)}]" if words else ""

    def when_also(self, condition: int) -> Step:
        """Return this step under one more condition."""
        return replace(self, when=self.when | condition)


def returned(*codes: int) -> int:
    """Return the condition that the client returned one of `codes`."""
    return sum(1 << code for code in codes)


def anything_but(*codes: int) -> int:
    """Return the condition that the client returned none of `codes`."""
    return sum(1 << code for code in range(len(CODE_NAMES)) if code not in codes)


def read(register: str) -> Step:
    """Read a register into this pass's copy (FSR, FAR, FSYNR0) or only for its cost."""
    copied = {"FSR": READ_FSR, "FAR": READ_FAR, "FAR_HI": READ_FAR, "FSYNR0": READ_FSYNR0}
    op = copied.get(register, READ_OTHER)
    return Step(op, 0, 0, f"READ {register}")


def reads(*registers: str) -> tuple[Step, ...]:
    """Read several registers in order."""
    return tuple(read(register) for register in registers)


def client_reads(*registers: str) -> tuple[Step, ...]:
    """Read registers into copies of the client's own: the core's pass is not touched."""
    return tuple(Step(READ_OTHER, 0, 0, f"READ {register} (client)") for register in registers)


def check(mask: int, text: str) -> Step:
    """Return IRQ_NONE unless the copy of FSR has a bit of `mask`."""
    return Step(CHECK, mask, 0, f"CHECK FSR & ({text}), else return IRQ_NONE")


def report() -> Step:
    """Call the client (report_iommu_fault)."""
    return Step(REPORT, 0, 0, "REPORT to the client")


def log(lines: int, when: int = 0, site: int = 0) -> Step:
    """Print a ratelimited report; site 0 is the core's, site 1 the GPU driver's."""
    whose = "GPU driver's line" if site else f"{lines} line{'s' if lines > 1 else ''}"
    return Step(LOG, site << 8 | lines, when, f"LOG {whose}, ratelimited")


def write_fsr(value: str = "read") -> Step:
    """Write FSR: the bits ``read`` by this pass, or ``all`` ones."""
    if value == "all":
        return Step(WRITE_FSR_ALL, 0, 0, "WRITE FSR = all ones")
    return Step(WRITE_FSR_READ, 0, 0, "WRITE FSR = bits read")


def resume(how: int, code: int = OK, when: int = 0) -> Step:
    """Write RESUME: BY_TERMINATE, BY_RETRY, BY_RETURN (retry on `code`) or BY_MAPPED."""
    text = {
        BY_TERMINATE: "terminate",
        BY_RETRY: "retry",
        BY_RETURN: f"retry if the client returned {CODE_NAMES[code]}, else terminate",
        BY_MAPPED: "retry if the page was mapped, else terminate",
    }[how]
    return Step(WRITE_RESUME, code << 8 | how, when, f"WRITE RESUME = {text}")


def next_event() -> Step:
    """Take the next event of an SMMUv3; behind the last one the entry ends."""
    return Step(NEXT_EVENT, 0, 0, "NEXT_EVENT, or the entry ends")


def queue_event() -> Step:
    """Hand the event to the worker, if its transaction is stalled."""
    return Step(QUEUE_EVENT, 0, 0, "QUEUE_EVENT for the worker")


def cmd_resume(how: int, code: int = OK, when: int = 0) -> Step:
    """Issue CMD_RESUME for the event's transaction; arguments as of `resume`."""
    made = resume(how, code, when)
    return replace(made, op=CMD_RESUME, text=made.text.replace("WRITE RESUME", "CMD_RESUME"))


def cfie(on: bool) -> tuple[Step, ...]:
    """Read SCTLR and write it back with CFIE on or off."""
    return (
        read("SCTLR"),
        Step(SCTLR_SET if on else SCTLR_CLEAR, SCTLR_CFIE, 0, f"WRITE SCTLR {'| CFIE' if on else '& ~CFIE'}"),
    )


def sctlr_clear(*names: str) -> tuple[Step, ...]:
    """Read SCTLR and write it back with the bits called `names` (CFCFG, HUPCF) off."""
    return (read("SCTLR"), Step(SCTLR_CLEAR, _sctlr_bits(names), 0, f"WRITE SCTLR & ~({'|'.join(names)})"))


def sctlr_set(*names: str) -> Step:
    """Write SCTLR with the bits called `names` on."""
    return Step(SCTLR_SET, _sctlr_bits(names), 0, f"WRITE SCTLR | ({'|'.join(names)})")


def _sctlr_bits(names: tuple[str, ...]) -> int:
    return sum({"CFCFG": SCTLR_CFCFG, "HUPCF": SCTLR_HUPCF, "CFIE": SCTLR_CFIE}[name] for name in names)


def irq_off() -> Step:
    """Close the line at the interrupt controller (disable_irq_nosync)."""
    return Step(IRQ_OFF, 0, 0, "DISABLE_IRQ")


def irq_on() -> Step:
    """Open the line that `irq_off` has closed (enable_irq)."""
    return Step(IRQ_ON, 0, 0, "ENABLE_IRQ")


def lock() -> Step:
    """Take the bank's lock; in a thread or worker, with interrupts off."""
    return Step(LOCK, 0, 0, "LOCK the bank")


def unlock() -> Step:
    """Give the bank's lock back."""
    return Step(UNLOCK, 0, 0, "UNLOCK the bank")


def wake() -> Step:
    """Queue the client's worker."""
    return Step(WAKE, 0, 0, "WAKE the worker")


def capture() -> Step:
    """Capture a crash dump, unless one exists."""
    return Step(CAPTURE, 0, IF_NOT_DUMPED, "CAPTURE a crash dump")


def map_page(success: int = OK, failure: int = EFAULT) -> Step:
    """Map the page at FAR from the shadow tables and set the return code."""
    return Step(
        MAP_PAGE,
        success << 8 | failure,
        0,
        f"MAP_PAGE at FAR: {CODE_NAMES[success]}, or {CODE_NAMES[failure]} where there is none",
    )


def tlbi_asid() -> Step:
    """Invalidate what the TLBs hold of the bank's ASID."""
    return Step(TLBI_BY_ASID, 0, 0, "TLBIASID")


def tlbsync() -> Step:
    """Write TLBSYNC and poll TLBSTATUS: ten reads, a delay that doubles, up to twenty times."""
    return Step(SYNC_TLB, 0, 0, "TLBSYNC, and poll TLBSTATUS")


def note_far() -> Step:
    """Keep the pass's FAR, and tell whether it is the bank's last one."""
    return Step(NOTE_FAR, 0, 0, "NOTE_FAR: is it the one of the last fault?")


def cool_down() -> Step:
    """Note that stall is off for the bank, and when the cool-down ends."""
    return Step(COOL_DOWN, 0, 0, "COOL_DOWN: stall is off in the driver's book, for a while")


def may_stall() -> Step:
    """Ask whether stall may be turned on again: cool-down over, no crash dump."""
    return Step(MAY_STALL, 0, 0, "MAY_STALL: is the cool-down over, and no crash dump there?")


def pm_get(if_active: bool = False) -> Step:
    """Keep the SMMU awake; `if_active`: return IRQ_NONE where it sleeps."""
    if if_active:
        return Step(PM_GET_IF_ACTIVE, 0, 0, "PM_GET if active, else return IRQ_NONE")
    return Step(PM_GET, 0, 0, "PM_GET")


def pm_put() -> Step:
    """Let the SMMU sleep."""
    return Step(PM_PUT, 0, 0, "PM_PUT")


def spend(what: str) -> Step:
    """Spend the time of something that changes nothing here: tbu_halt, atos, soft_walk."""
    return Step(SPEND, SPENT.index(what), 0, f"SPEND {what}")


def done(how: int = IRQ_HANDLED, when: int = 0) -> Step:
    """Return from the handler."""
    return Step(RETURN, how, when, "RETURN IRQ_HANDLED" if how else "RETURN IRQ_NONE")
