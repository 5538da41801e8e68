"""Read again what earlier traffic wrote, through any release: `python -m shop.check --version v2 LEDGER…`.

Exit status: 0 every row says what was written to it last, 1 some do not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from shop.database import create_engine
from shop.ledger import Ledger
from shop.service import Shop


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shop.check", description=__doc__)
    parser.add_argument("ledgers", type=Path, nargs="+", metavar="LEDGER")
    parser.add_argument(
        "--version", choices=["v1", "v2", "v3"], required=True, help="the release to read through"
    )
    parser.add_argument("--database-url", default=os.environ.get("SHOP_DATABASE_URL"))
    options = parser.parse_args()
    if not options.database_url:
        parser.error("give --database-url or set SHOP_DATABASE_URL")

    shop = Shop(options.version, create_engine(options.database_url, application_name="shop-check"))
    ledgers = [Ledger.load(path) for path in options.ledgers]
    lost = [row for ledger in ledgers for row in ledger.lost(shop)]
    print(
        json.dumps({"checked": sum(map(len, ledgers)), "lost": len(lost), "lost_rows": lost[:10]}, indent=2)
    )
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
