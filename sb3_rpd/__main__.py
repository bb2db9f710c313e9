"""``python -m sb3_rpd`` is ``sb3-rpd``."""

import sys

from sb3_rpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
