"""`python -m kubefugu_experts`."""

from kubefugu_experts.main import main

if __name__ == "__main__":
    main()
