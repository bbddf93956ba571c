"""SMS appointment reminders with minimal disclosure: a time, a place, a sealed way to reach a phone."""
