"""What `make up` advises when the stack does not start, by what the engine and the services said."""

from pathlib import Path

import pytest
import stack

# As Docker says it: of a container's port, of another program's, and of either from version 28 on.
ALLOCATED = (
    "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:{} failed: "
    "port is already allocated"
)
IN_USE = "Error starting userland proxy: listen tcp4 127.0.0.1:{}: bind: address already in use"
NEWER = "failed to bind host port 127.0.0.1:{}/tcp: address already in use"


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("ML_AIRFLOW_PORT=8080\nML_MLFLOW_PORT=5000\nML_REPORTS_PORT=8081\n")
    monkeypatch.setattr(stack, "ROOT", tmp_path)
    for name in ("ML_AIRFLOW_PORT", "ML_MLFLOW_PORT", "ML_REPORTS_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("words", [ALLOCATED, IN_USE, NEWER])
@pytest.mark.parametrize(
    ("port", "variable"), [(8080, "ML_AIRFLOW_PORT"), (5000, "ML_MLFLOW_PORT"), (8081, "ML_REPORTS_PORT")]
)
def test_taken_port_is_named_with_its_setting(words: str, port: int, variable: str) -> None:
    said = stack.advice(f"Container x  Starting\nError response from daemon: {words.format(port)}\n")
    assert said == f"another program has port {port}; set {variable} in .env to one that is free"


def test_port_of_the_environment_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_PORT", "5500")
    assert "port 5500; set ML_MLFLOW_PORT" in stack.advice(IN_USE.format(5500))


def test_password_of_another_file_is_told_of_airflow_alone() -> None:
    """MLflow's password is taken over at each start, so its database is never in the way."""
    said = 'FATAL:  password authentication failed for user "{}"'
    assert "the password of another .env" in stack.advice(said.format("airflow"))
    assert "the password of another .env" not in stack.advice(said.format("mlflow"))
