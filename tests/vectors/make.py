"""Write good.json and bad.json again: ``python tests/vectors/make.py``."""

import json
from pathlib import Path

from bad import bad
from good import good

HERE = Path(__file__).parent


def files():
    """Return what belongs into each file."""
    return {
        name: json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        for name, made in (("good.json", good), ("bad.json", bad))
    }


if __name__ == "__main__":
    for name, made in files().items():
        (HERE / name).write_text(made, "utf-8")
