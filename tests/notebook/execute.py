"""Runs the notebook as a person would, then prints one JSON line: what its cells showed, and what a probe found.

Runs where Jupyter is: `./airflow-ml notebook -- /project/tests/notebook/execute.py`. The probe is an expression that
the notebook's own kernel evaluates at the end, where no cell has failed.
"""

import base64
import contextlib
import io
import json
import sys
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

NOTEBOOK = "/project/notebook/raw_data.ipynb"


def main(probe: str) -> int:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = list(notebook.cells)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({probe}))"))
    with contextlib.suppress(CellExecutionError):  # the cell's output shows it
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    answer = notebook.cells[-1].outputs
    result = {
        "errors": [output.traceback for output in outputs if output.output_type == "error"],
        "warnings": [output.text for output in outputs if output.get("name") == "stderr"],
        "texts": [text for output in outputs if (text := output.get("data", {}).get("text/markdown"))],
        "figures": [picture(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})],
        "probe": json.loads(answer[0].text) if answer else None,
    }
    print(json.dumps(result))
    return 0


def picture(png: str) -> dict[str, Any]:
    """A figure's size, how many colours it has, and how opaque its corner is."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    corner = image.getpixel((0, 0))
    return {"size": image.size, "colours": len(image.getcolors(1 << 24)), "corner": corner}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
