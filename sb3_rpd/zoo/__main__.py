"""``python -m sb3_rpd.zoo``."""

import sys

from sb3_rpd.zoo.commands import main

if __name__ == "__main__":
    sys.exit(main())
