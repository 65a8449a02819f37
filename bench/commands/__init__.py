"""The subcommands of `smmubench`, one module a subject."""
