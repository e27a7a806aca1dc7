"""`python -m kubefugu_trainer`."""

import os
import signal

if os.getpid() == 1:
    # The first process of a container ignores a signal that it has no handler for, and the imports below take seconds.
    # 75 (EX_TEMPFAIL): stopped, the next attempt goes on. Commands that have something to end set handlers of their own.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(75))

from kubefugu_trainer.main import main

if __name__ == "__main__":
    main()
