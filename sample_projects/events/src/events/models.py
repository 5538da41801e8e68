"""The one table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, Index, MetaData, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
TYPES = {str: Text, int: BigInteger, datetime: DateTime(timezone=True), dict[str, Any]: JSONB}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (Index(None, "device_id", "occurred_at"), Index(None, "occurred_at"))

    id: Mapped[int] = mapped_column(Identity(always=False), primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    device_id: Mapped[int]
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
