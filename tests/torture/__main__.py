"""python -m tests.torture."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where pytest, too, looks for what tests share

from torture.command import main

sys.exit(main())
