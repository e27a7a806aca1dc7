"""`python -m kubefugu_experts.llamacpp`."""

from kubefugu_experts.llamacpp.main import main

if __name__ == "__main__":
    main()
