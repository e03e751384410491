"""Pure values and functions: no I/O, no clock, no event loop; the standard library and msgspec only."""
