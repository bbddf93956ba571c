"""Faults: real processes, killed without warning."""
