"""The layers of an image, each with its chain and its size."""

import pytest
from maintain.image_contents import EMPTY_LAYER, chains, layer_sizes


def test_layer_on_other_layers_is_another_chain() -> None:
    def image(*layers: str) -> list[str]:
        return chains({"RootFS": {"Layers": list(layers)}})

    assert image("a", "b", "c")[:2] == image("a", "b")
    assert not {*image("a", "c")[1:]} & {*image("b", "c")}
    assert chains({"RootFS": {}}) == []


@pytest.mark.parametrize(
    ("layers", "history", "sizes"),
    [
        (["a", "b"], [(5, "COPY x"), (0, "ENV A=1"), (7, "RUN x")], [5, 7]),
        (["a", "b", "c"], [(5, "COPY x"), (0, "RUN rm x"), (7, "RUN y")], [5, 0, 7]),
        (["a", EMPTY_LAYER, "c"], [(5, ""), (0, "WORKDIR /x"), (7, "RUN y")], [5, 0, 7]),
        # An instruction that left no layer: the empty one is known by its digest.
        (["a", EMPTY_LAYER, "c"], [(5, ""), (0, "WORKDIR /"), (0, "WORKDIR /x"), (7, "RUN y")], [5, 0, 7]),
        ([], [], []),
    ],
)
def test_history_gives_the_size_of_each_layer(
    layers: list[str], history: list[tuple[int, str]], sizes: list[int]
) -> None:
    assert layer_sizes(layers, history) == sizes
