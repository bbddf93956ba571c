"""Write good.json, bad.json and places.json again: ``python tests/vectors/make.py``."""

import json
from pathlib import Path

from bad import bad
from good import good
from places import places

HERE = Path(__file__).parent


def files():
    """Return what belongs into each file."""
    return {
        name: json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        for name, made in (("good.json", good), ("bad.json", bad), ("places.json", places))
    }


if __name__ == "__main__":
    for name, made in files().items():
        (HERE / name).write_text(made, "utf-8")
