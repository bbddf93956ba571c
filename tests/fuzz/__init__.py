"""Coverage-guided fuzzing of everything that parses foreign bytes; ``python -m tests.fuzz --help``."""

import sys
from pathlib import Path

if (_shared := str(Path(__file__).parents[1])) not in sys.path:  # pytest puts it there
    sys.path.append(_shared)
