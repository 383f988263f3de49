"""Encrypts again what Airflow has encrypted in its database, with the first of its Fernet keys.

Airflow's own command takes every trigger as encrypted, but that of a task that waits is plain JSON: the command
ends with InvalidToken. So such triggers are encrypted first.
"""

import os

from airflow.models import Trigger
from airflow.models.crypto import get_fernet
from airflow.utils.session import create_session
from sqlalchemy import select


def main() -> None:
    with create_session() as session:
        for trigger in session.scalars(select(Trigger).where(Trigger.encrypted_kwargs.startswith("{"))):
            trigger.encrypted_kwargs = get_fernet().encrypt(trigger.encrypted_kwargs.encode()).decode()
    os.execvp("airflow", ["airflow", "rotate-fernet-key"])


if __name__ == "__main__":
    main()
