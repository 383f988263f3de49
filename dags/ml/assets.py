"""What passes between the stages, as Airflow's assets: folders of partitions below /data, and the registry."""

from airflow.sdk import Asset

GROUP = "airflow-ml"

RAW = Asset("raw", group=GROUP)
PROCESSED = Asset("processed", group=GROUP)
TUNING = Asset("tuning", group=GROUP)
BACKTESTS = Asset("backtests", group=GROUP)
MODELS = Asset("models", group=GROUP)
FEATURES = Asset("features", group=GROUP)
LABELS = Asset("labels", group=GROUP)
PREDICTIONS = Asset("predictions", group=GROUP)
SHADOWS = Asset("shadows", group=GROUP)
EXPLANATIONS = Asset("explanations", group=GROUP)
COMPARISONS = Asset("comparisons", group=GROUP)
PLOTS = Asset("plots", group=GROUP)
REPORTS = Asset("reports", group=GROUP)
# Not files: the versions in MLflow's registry, and which of them is in production.
REGISTRY = Asset("registry", group=GROUP)
