"""The data between the stages, as Airflow's assets: each is a folder of partitions below /data."""

from airflow.sdk import Asset

GROUP = "airflow-ml"

RAW = Asset("raw", group=GROUP)
PROCESSED = Asset("processed", group=GROUP)
MODELS = Asset("models", group=GROUP)
FEATURES = Asset("features", group=GROUP)
PREDICTIONS = Asset("predictions", group=GROUP)
