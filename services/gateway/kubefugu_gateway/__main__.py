"""`python -m kubefugu_gateway`."""

from kubefugu_gateway.main import main

if __name__ == "__main__":
    main()
