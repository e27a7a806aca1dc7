"""`python -m kubefugu_executor`."""

from kubefugu_executor.main import main

main()
