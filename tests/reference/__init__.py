"""Plain-Python references, from the architecture's rules, that the compiled model is tested against."""
