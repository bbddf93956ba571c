"""Write the vectors again: ``python tests/vectors/make.py``."""

import json
from pathlib import Path

from bad import bad
from good import good
from places import places
from publickeys import public_keys

HERE = Path(__file__).parent


def files():
    """Return what belongs into each file."""
    return {
        name: json.dumps(made(), indent=1, ensure_ascii=False) + "\n"
        for name, made in (
            ("good.json", good),
            ("bad.json", bad),
            ("places.json", places),
            ("public_keys.json", public_keys),
        )
    }


if __name__ == "__main__":
    for name, made in files().items():
        (HERE / name).write_text(made, "utf-8")
