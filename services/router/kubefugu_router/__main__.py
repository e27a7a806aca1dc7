"""Entry point of `python -m kubefugu_router` and `kubefugu-router`: settles the environment that torch reads when it loads."""

import os


def main() -> None:
    """Entry point. Nothing that loads torch may be imported before the environment is set."""
    # Read by the OpenMP runtime when torch loads it: on a busy machine, waiting threads that spin cost more than they gain.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from kubefugu_router.main import main as run

    run()


if __name__ == "__main__":
    main()
