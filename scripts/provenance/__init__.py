"""Where published files come from: read from commit marks, checked, compared, run again. Standard library only."""
