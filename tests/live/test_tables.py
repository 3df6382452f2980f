"""The tables that the suite ends with."""

from types import SimpleNamespace

from .tables import table, times


def test_rows_and_columns_come_in_the_order_of_their_first_cell():
    cells = {("Euler", "txt2img"): "ok", ("UniPC", "hires"): "refused: why", ("Euler", "hires"): "ok"}
    assert table(cells) == [
        "|       | txt2img | hires        |",
        "| ----- | ------- | ------------ |",
        "| Euler | ok      | ok           |",
        "| UniPC |         | refused: why |",
    ]


def test_times_are_summed_by_file_and_host():
    spent = [("a.py::one[neo-1]", 2), ("a.py::one[neo-1]", 3), ("a.py::two[forge]", 1), ("b.py::three[x-neo]", 8)]
    assert times([SimpleNamespace(nodeid=f"tests/live/{name}", duration=s) for name, s in spent] + [object()]) == {
        ("b", "neo"): "8, 1",
        ("a", "neo"): "5, 1",
        ("a", "forge"): "1, 1",
        ("all", "neo"): "13, 2",
        ("all", "forge"): "1, 1",
    }
