"""Where published files come from: `show` their lineage, `diff` two runs, `rerun` the steps that made them."""
