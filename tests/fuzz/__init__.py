"""Coverage-guided fuzzing of everything that parses foreign bytes; ``python -m tests.fuzz --help``."""
