"""The fifteen questions, each with its rows, its table and its figure.

`QUESTIONS` names them; ``QUESTIONS[2].answer(Asking())`` runs what it takes and gives an `Answer`, whose
``frame`` is tidy and whose ``figure()`` draws it.  ``smmubench answer 2`` is the same on the terminal.
"""

from __future__ import annotations

from bench.answers.base import Answer, Asking, Cell, Question

__all__ = ["QUESTIONS", "Answer", "Asking", "Cell", "Question"]

QUESTIONS = {
    question.number: question
    for question in (
        Question(1, "headline", "Every policy on every part",
                 "Which FSR/RESUME order is safe, and what does each cost?", "drivers",
                 "headline", "latency_cdf"),
        Question(2, "storm", "The storm curve",
                 "At what fault rate does each policy tip into a storm?", "drivers, SoC architects",
                 "storm", "storm_curve"),
        Question(3, "starve", "The GMU's deadline",
                 "Does stall starve the GMU and other streams?", "SoC and GPU architects",
                 "starve", "gmu_deadline"),
        Question(4, "cooldown", "The stall cool-down",
                 "How long must the stall cool-down be, and why 500 ms?", "drivers",
                 "cooldown", "cooldown_map"),
        Question(5, "console", "What the console costs",
                 "What does the console cost?", "everyone",
                 "console", "console_bars"),
        Question(6, "contexts", "Where the handler runs",
                 "Hard IRQ, IRQ thread or worker?", "drivers, real-time people",
                 "contexts", "context_cdf"),
        Question(7, "window", "The MULTI window",
                 "Are faults lost, or RESUMEs ignored, between the read of FSR, its clear and RESUME?",
                 "readers of the 2016 thread", "multi", "multi_window"),
        Question(8, "capture", "What a crash dump does",
                 "What does devcoredump capture do to the system?", "drivers",
                 "capture", "capture_cost"),
        Question(9, "spurious", "The spurious-interrupt detector",
                 "Will the kernel's spurious-IRQ detector save me?", "drivers",
                 "spurious", "detector_bars"),
        Question(10, "reach", "TLB reach",
                 "What is my TLB reach, and where is the cliff?", "SoC architects, researchers",
                 "tlbreach", "reach_curve"),
        Question(11, "whatif", "Walk slots and TLBs",
                 "What would a walk cache, a micro-TLB or more walk slots buy?", "SoC architects",
                 "whatif", "what_if"),
        Question(12, "unmap", "The cost of unmapping",
                 "TLBIVA for each page, or one TLBIASID?", "drivers",
                 "unmap", "unmap_cost"),
        Question(13, "paging", "Demand paging",
                 "Does demand paging (IOPF, retry) pay, and with which batch?", "SVA people, researchers",
                 "paging", "paging_batch"),
        Question(14, "sensitivity", "Guessed costs",
                 "Which of your guessed costs could change the ranking?", "reviewers",
                 "guesses", "tornado"),
        Question(15, "changes", "What changed",
                 "Did this commit change the model?", "maintainers",
                 "changes", "change_bars"),
    )
}  # fmt: skip
