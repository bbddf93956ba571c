"""Faults: real processes, killed without warning."""

import sys
from pathlib import Path

if (_shared := str(Path(__file__).parents[1])) not in sys.path:  # pytest puts it there
    sys.path.append(_shared)
