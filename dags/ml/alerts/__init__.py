"""Alerts: what every Dag calls if something fails, how the message reaches a person, and where it is kept."""
