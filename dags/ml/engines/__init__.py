"""Engines that run a stage's container. `ml.operator` has the discipline, and knows no engine."""
