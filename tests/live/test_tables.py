"""The tables that the suite ends with."""

from .conftest import table


def test_rows_and_columns_come_in_the_order_of_their_first_cell():
    cells = {("Euler", "txt2img"): "ok", ("UniPC", "hires"): "refused: why", ("Euler", "hires"): "ok"}
    assert table(cells) == [
        "|       | txt2img | hires        |",
        "| ----- | ------- | ------------ |",
        "| Euler | ok      | ok           |",
        "| UniPC |         | refused: why |",
    ]
