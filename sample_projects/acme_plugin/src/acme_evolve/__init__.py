"""What Acme adds to evolve: partitions by fiscal quarter, and the house rules for new tables."""

from __future__ import annotations

from acme_evolve.fiscal_quarter import FiscalQuarter
from acme_evolve.table_without_created_at import TableWithoutCreatedAt
from evolve.plugin_api import Plugin

plugin = Plugin(name="acme", api=1, partitioners=[FiscalQuarter], rules=[TableWithoutCreatedAt])
