"""What an idle container runs."""
