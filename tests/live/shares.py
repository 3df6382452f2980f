"""How the suite is shared out between two processes of pytest: a file's tests stay together, the sweep's do not."""

from xdist.scheduler import LoadScopeScheduling

APART = ("test_sweep",)


class Shares(LoadScopeScheduling):
    """As -n 2 --dist loadscope has it; the files with the most tests come first."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return nodeid if file.rpartition("/")[2].removesuffix(".py") in APART else file
