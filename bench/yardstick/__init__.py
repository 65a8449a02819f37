"""How fast replay is: against the same machine in plain C++ (``run``), and the fault path (``faults``)."""
