"""Proofs: what the graph of every interleaving says of a policy (decision 0010)."""
