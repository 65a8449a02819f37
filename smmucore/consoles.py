"""What a printed line costs on each console: who prints pays, or a printing thread does (K4).

A line of n characters on a serial console holds the wire for n x 10 bits (8N1), and Linux polls the
UART all that time.  On a threaded console (nbcon, Linux 6.12 and later) the caller leaves the line in the
ring buffer, and a thread of the console's own prints it.
"""

from __future__ import annotations

from smmucore.cpus import Cost, Cpu

#: Characters of the lines printed, from real bug reports (8N1, CR counted).
LINE_CHARACTERS = {"first": 134, "second": 85, "third": 79, "gpu": 127, "summary": 60}

BAUDS = (115_200, 921_600, 1_500_000)

CONSOLES = {
    "none": "no console: lines stay in the ring buffer",
    "ring": "a console that the loglevel keeps silent: the ring buffer only",
    "netconsole": "a UDP packet a line, sent by whoever prints",
    **{f"serial-{baud}": f"a UART at {baud} baud, polled by whoever prints" for baud in BAUDS},
    **{
        f"threaded-{baud}": f"a UART at {baud} baud, polled by a thread of its own (nbcon, Linux 6.12 on)"
        for baud in BAUDS
    },
}

RING_EXTRA = (1059, "console registered but silent: 9,588 - 8,529")
SERIAL_EXTRA = (8909, "pl011 console: 17,438 - 8,529")

_NETCONSOLE = Cost(15_000, 5_000, 50_000, "assumed", "a packet a line; no published timing was found")


def console_costs(cpu: Cpu, console: str) -> dict[str, Cost]:
    """Return ``console_LINE``, what who prints pays, and ``printer_LINE``, what a printing thread does."""
    kind, _, baud = console.partition("-")
    costs: dict[str, Cost] = {}
    for line, characters in LINE_CHARACTERS.items():
        if kind == "serial":
            costs[f"console_{line}"] = _serial(cpu, int(baud), characters)
        else:
            costs[f"console_{line}"] = _without_wire(cpu, kind)
    for line, characters in LINE_CHARACTERS.items():
        if kind == "threaded":
            costs[f"printer_{line}"] = _serial(cpu, int(baud), characters)
        else:
            costs[f"printer_{line}"] = Cost(0, 0, 0, "derived", "this console has no printing thread")
    return costs


def _without_wire(cpu: Cpu, kind: str) -> Cost:
    if kind == "none":
        return Cost(0, 0, 0, "measured", "no console registered")
    if kind == "netconsole":
        return _NETCONSOLE
    return cpu.cost(*RING_EXTRA)


def _serial(cpu: Cpu, baud: int, characters: int) -> Cost:
    base = cpu.cost(*SERIAL_EXTRA)
    wire = characters * 10 * 1_000_000_000 // baud
    return Cost(
        base.ns + wire,
        base.low + wire,
        base.high + wire,
        "derived",
        f"{characters} characters x 10 bits at {baud} baud, and {base.source}",
    )
