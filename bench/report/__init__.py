"""The report: one HTML file with every answer, its figure, its rows, and what they rest on."""
