"""Write the descriptions of the JSON APIs: `python -m services.gateway.openapi_gen`."""

import json
from pathlib import Path
from typing import Final

from services.gateway.admin.api import admin_routes
from services.gateway.billing.api import billing_routes

_REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference"


def expected_files() -> dict[Path, str]:
    """Every generated file and its text."""
    described = {"openapi.json": billing_routes(), "openapi-admin.json": admin_routes()}
    return {
        _REFERENCE / name: json.dumps(app.openapi(), indent=2, sort_keys=True) + "\n"
        for name, app in described.items()
    }


def main() -> None:
    """Write what is expected."""
    for path, text in expected_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
