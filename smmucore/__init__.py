"""The model: an SMMUv2's translation and fault path, and the Linux driver's handling of a fault.

Read `docs/model.md` first; it says what is computed.  Then, in the order of a fault:

* `registers`, `hardware`: what software sees, and where parts differ;
* `pagetable`, `walk`, `tlb`, `mmu`: from an IOVA to an address or a fault;
* `transactions`: slots, stalls, ends; `bank`: the rules of FSR, SS and RESUME;
* `contexts`, `linux`: interrupt lines, CPUs, the ratelimit, the spurious-interrupt detector;
* `steps`, `policies`, `clients`, `program`: who does what in which order, as data;
* `dispatch`, `handler`: a handler's pass, step by step; `costs`: what each step takes;
* `engine`: everything merged in time; `simulate`: a run, from Python; `translate`: without time.

Importing this package loads nothing; import the module you want.
"""
