"""The commands: each module says what its arguments are, without PyTorch, and runs with what was parsed."""
