"""`python -m rmaplab`: the command, where no script of its own is on the PATH."""

from rmaplab.cli.start import main

main()
