"""The address of Airflow's database, without loading Airflow, which takes seconds."""

import os
from configparser import ConfigParser


def address() -> str:
    """As psycopg2 takes it: from Airflow's file of settings, or from the variable that Airflow's chart sets."""
    found = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    if not found:
        settings = ConfigParser()
        settings.read(os.environ["AIRFLOW_CONFIG"], encoding="utf-8")
        found = settings["database"]["sql_alchemy_conn"]
    return found.replace("+psycopg2", "")
