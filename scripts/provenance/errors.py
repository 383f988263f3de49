"""How these commands fail: what was found, what was expected, what to do."""


class ProvenanceError(Exception):
    """A command cannot do its work."""

    exit_code = 3

    def __init__(self, found: str, *, expected: str = "", do: str = "") -> None:
        lines = [found, *([f"expected: {expected}"] if expected else []), *([f"do: {do}"] if do else [])]
        super().__init__("\n       ".join(lines))
