"""`python -m kubefugu_trainer`."""

from kubefugu_trainer.main import main

if __name__ == "__main__":
    main()
