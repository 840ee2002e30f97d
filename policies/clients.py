"""Who an application belongs to. Workloads name no clients, so the name of the application has to say it."""

from __future__ import annotations

from typing import Literal

#: "name": applications whose names differ only in their number belong to one client; "application": each to its own.
Clients = Literal["name", "application"]


def client_of(app_id: str, clients: Clients = "name") -> str:
    """Client of an application.

    Under "name", the label of a mixture (`traces.generators.mixture`), or else the name without its closing digits.

    Examples
    --------
    >>> client_of("chat/chat12"), client_of("mr7"), client_of("mr7", "application")
    ('chat', 'mr', 'mr7')
    """
    if clients == "application":
        return app_id
    label, slash, _ = app_id.partition("/")
    return label if slash else app_id.rstrip("0123456789")
