"""``python -m legato.cli``."""

from legato.cli import main

main()
