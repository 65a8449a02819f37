"""The two policies for an SMMUv3 in the plain-Python fault model (docs/decisions/0009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fault_model_policies import CORE, EAGAIN, Pass, Policy, Program

if TYPE_CHECKING:
    from .fault_model_clients import Client
    from .fault_model_steps import Steps


class V3Iopf(Policy):
    """The thread queues each event of a stall, the worker asks the client and resumes that one."""

    threaded = True
    in_worker = True
    client_reads = 0
    mapped_ret = EAGAIN

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.next_event()
        if p.event is None:
            return
        if p.ss:
            yield do.queue_event()
        else:
            yield do.log(CORE, 3)

    def work(self, do: Steps, p: Pass, client: Client) -> Program:
        yield from self.tell(do, p, client)
        if p.ss:
            yield do.cmd_resume(retry=p.ret == EAGAIN)


class V3Terminate(Policy):
    """No stalls: each event is printed."""

    threaded = True
    cfcfg = False

    def handler(self, do: Steps, p: Pass, client: Client) -> Program:
        yield do.next_event()
        if p.event is not None:
            yield do.log(CORE, 3)
