"""`python -m kubefugu_operators`."""

from kubefugu_operators.main import main

if __name__ == "__main__":
    main()
