"""The policies of Linux's arm-smmu-v3: IOPF, and without stall.

They are about parts with an event queue; what fills it and what a step does there is in `eventq`.
"""

from __future__ import annotations

from smmucore.policy import REPORT_AND_LOG, Policy
from smmucore.steps import BY_RETURN, EAGAIN, IF_NO_SS, IF_SS, cmd_resume, done, log, next_event, queue_event

SMMUV3 = (
    Policy(
        id="v3-iopf",
        name="smmuv3-iopf",
        kernel="arm-smmu-v3, v5.13 on",
        source="Linux io-pgfault.c and arm-smmu-v3.c, v7.0: event thread, workqueue, page response",
        why="the event thread hands each stalled fault to a worker, which answers it by CMD_RESUME",
        context="threaded",
        cfcfg=True,
        hupcf=True,
        handler=(
            next_event(),
            queue_event().when_also(IF_SS),
            log(3, IF_NO_SS),
            done(),
        ),
        work=(*REPORT_AND_LOG, cmd_resume(BY_RETURN, EAGAIN, IF_SS)),
        retry_code=EAGAIN,
        saved_info=True,
        only_where="events",
    ),
    Policy(
        id="v3-terminate",
        name="smmuv3-terminate",
        kernel="arm-smmu-v3, v4.3 on",
        source="Linux arm-smmu-v3.c, v7.0: devices that cannot stall",
        why="never stall: the hardware terminates, and the event thread prints",
        context="threaded",
        cfcfg=False,
        hupcf=True,
        handler=(next_event(), log(3), done()),
        only_where="events",
    ),
)
