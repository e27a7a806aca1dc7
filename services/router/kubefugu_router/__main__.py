"""`python -m kubefugu_router`."""

from kubefugu_router.main import main

if __name__ == "__main__":
    main()
