"""Runs the notebook as a person would, once for each look; prints a JSON line for each.

A look is a JSON list: variables for the environment, and a probe. The line says what the cells showed, and what the
probe found: an expression that the notebook's own kernel evaluates at the end, where no cell has failed. All looks use
one kernel, whose variables are removed before each: what it imported stays, for that takes longest.
Runs where Jupyter is: `./airflow-ml notebook -- /project/tests/notebook/execute.py LOOK...`.
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


def main(looks: list[str]) -> int:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3")
    with client.setup_kernel():
        for look in looks:
            print(json.dumps(run(client, *json.loads(look))))
    return 0


def run(client: NotebookClient, environment: dict[str, str], probe: str) -> dict[str, Any]:
    client.nb = notebook = nbformat.read(NOTEBOOK, as_version=4)
    client.reset_execution_trackers()
    cells = list(notebook.cells)
    first = f"%reset -f\n__import__('os').environ.update({environment!r})"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first))
    notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({probe}))"))
    with contextlib.suppress(CellExecutionError):  # the cell's output shows it
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output.get("data", {}) for output in outputs]
    answer = notebook.cells[-1].outputs
    return {
        "errors": [output.traceback for output in outputs if output.output_type == "error"],
        "warnings": [output.text for output in outputs if output.get("name") == "stderr"],
        "texts": [text for output in outputs if (text := output.get("data", {}).get("text/markdown"))],
        "page": "\n".join(text for data in shown for kind, text in data.items() if kind.startswith("text/")),
        "figures": [picture(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})],
        "probe": json.loads(answer[0].text) if answer else None,
    }


def picture(png: str) -> dict[str, Any]:
    """A figure's size, how many colours it has, and how opaque its corner is."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    corner = image.getpixel((0, 0))
    return {"size": image.size, "colours": len(image.getcolors(1 << 24)), "corner": corner}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
