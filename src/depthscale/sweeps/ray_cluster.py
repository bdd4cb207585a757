"""Workers on a Ray cluster: a task of Ray Core for each chunk, scheduled and tried again by Ray."""

import importlib
from collections.abc import Sequence
from typing import Any

from depthscale.errors import InvalidSpec, MissingPackage
from depthscale.sweeps.local_pool import Answer, WorkerDied
from depthscale.sweeps.one_cell import Call, run_cells


class RayCluster:
    """The cluster that this process is connected to, one at an address, or a new one on this
    machine with so many workers.

    raises: MissingPackage; InvalidSpec where there is none at the address.
    """

    def __init__(self, pickled: bytes, workers: int | None, address: str | None):
        self._ray = ray = _ray()
        self._ours = not ray.is_initialized()
        if self._ours:
            quiet = {"include_dashboard": False} if address is None else {}
            given = {"num_cpus": workers} if address is None else {"address": address}
            try:
                ray.init(log_to_driver=False, logging_level="error", **given, **quiet)
            except ConnectionError as refused:
                where = address or "this machine"
                raise InvalidSpec(f"there is no Ray cluster at {where}: {refused}") from None
        self._recipe = ray.put(pickled)
        self._task = ray.remote(run_cells)
        self.slots = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, calls: Sequence[Call]) -> Any:
        return self._task.remote(self._recipe, calls)

    def first(self, running: Sequence[Any]) -> list[Any]:
        """Those that are done, once there is one."""
        done, others = self._ray.wait(list(running), num_returns=1)
        more = self._ray.wait(others, num_returns=len(others), timeout=0)[0] if others else []
        return done + more

    def answer(self, done: Any) -> Answer:
        """raises: WorkerDied, after Ray has tried again."""
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError:
            raise WorkerDied from None

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise MissingPackage(
            "this backend needs Ray; install it: pip install 'depthscale[ray]'"
        ) from None
