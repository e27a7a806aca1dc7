"""`python -m kubefugu_cli` is the `kubefugu` command."""

from kubefugu_cli.main import main

if __name__ == "__main__":
    main()
