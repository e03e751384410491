"""The benchmark: ``make bench`` measures what the project promises about speed and prints a table. Never a timed test."""
