"""Wall time: the pyperf suite, and when a difference between two of its runs is one."""
