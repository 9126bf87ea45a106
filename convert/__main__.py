"""`python -m convert` in a checkout is `zebjax convert`."""

import sys

from zebjax.convert import main

if __name__ == "__main__":
    sys.exit(main())
