"""The model: an SMMUv2's translation and fault path, and the Linux driver's handling of a fault.

Read `docs/model.md` first; it says what is computed.  Then, in the order of a fault:

* `registers`, `hardware`: what software sees, and where parts differ;
* `spaces`, `regime`, `pagetable`: whose tables, of which format, and how MAP and UNMAP change them;
* `walk`, `tablecache`, `tlb`, `mmu`, `invalidate`: from an IOVA to an address or a fault, by way of caches;
* `streams`: which bank a stream belongs to;
* `transactions`: slots, stalls, ends; `bank`: the rules of FSR, SS and RESUME;
* `contexts`, `linux`: interrupt lines, CPUs, the ratelimit, the spurious-interrupt detector;
* `steps`, `policies`, `clients`, `program`: who does what in which order, as data;
* `dispatch`, `handler`: a handler's pass, step by step; `costs`: what each step takes;
* `engine`: everything merged in time; `simulate`: a run, from Python; `translate`: without time;
* `staged`, `calm`: blocks of accesses at once, where nothing faults: the same integers, sooner;
* `state`, `jit`, `kernel`: how all this is compiled.

Importing this package loads nothing; import the module you want.
"""
