"""`python -m kubefugu_conductor`."""

from kubefugu_conductor.main import main

main()
