"""Which sample is of which format: every format that can be imported has one."""

from __future__ import annotations

from bench.perf.samples import adreno, kernels, logs, tables
from bench.perf.samples.sample import Sample

#: Format -> its sample, in the order of `traces.importers.registry.READERS`.
SAMPLES: dict[str, Sample] = {
    "qemu": logs.QEMU,
    "ftrace": logs.FTRACE,
    "csv": tables.CSV,
    "parquet": tables.PARQUET,
    "rd": adreno.RD,
    "devcore": adreno.DEVCORE,
    "dmesg": logs.DMESG,
    "accelsim": kernels.ACCELSIM,
    "uvm": logs.UVM,
}
