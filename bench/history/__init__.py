"""History: one DuckDB file of simulated rows and wall times, apart, by what they were made of."""
