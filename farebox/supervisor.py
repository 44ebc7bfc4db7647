"""Keeps processes running: starts them in order, restarts what dies, stops them in reverse."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

POLL_S = 0.05
READY_S = 60.0
BACK_OFF_FIRST_S = 0.2
BACK_OFF_CAP_S = 5.0
BACK_OFF_RESET_S = 30.0

Report = Callable[[str], None]


class Unit(Protocol):
    """Something that is started and stopped: a server or a service process."""

    @property
    def name(self) -> str: ...
    @property
    def alive(self) -> bool: ...
    def start(self) -> None:
        """Start it; raise StartError when that cannot be done."""

    def ready(self) -> bool:
        """Say whether it may be given work."""

    def stop(self) -> None:
        """Stop it and return when it is gone; harmless when it is not running."""

    def obituary(self) -> str:
        """Why it ended, in a line or with the end of its log."""


class StartError(Exception):
    """A process did not become ready; the message names it and shows the end of its log."""


@dataclass
class _Watched:
    unit: Unit
    started_at: float = 0.0
    failures: int = 0
    restart_at: float | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


class Supervisor:
    """Runs units until stopped. A thread of its own watches them and restarts what dies.

    The wait before a restart is 0.2 s x 2^k, at most 5 s; k starts anew for a unit that has lived
    30 s. Starting, restarting and stopping block and may be called from one thread at a time.
    """

    def __init__(self, report: Report, *, ready_s: float = READY_S) -> None:
        self._report = report
        self._ready_s = ready_s
        self._watched: list[_Watched] = []
        self._stopping = threading.Event()
        self._all_stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, unit: Unit) -> None:
        """Start a unit and return when it is ready. Raises StartError; what runs keeps running."""
        watched = _Watched(unit)
        with watched.lock:
            self._start_and_wait(watched)
        self._watched.append(watched)
        self._watch()

    def restart(self, name: str, replacement: Unit | None = None) -> None:
        """Stop a unit, start it (or its replacement) and return when it is ready.

        Raises StartError when it does not become ready, and KeyError for an unknown name.
        """
        watched = self._find(name)
        with watched.lock:
            watched.unit.stop()
            watched.unit = replacement or watched.unit
            self._start_and_wait(watched)

    def unit(self, name: str) -> Unit:
        return self._find(name).unit

    def stop(self) -> None:
        """Stop all units, last started first. Harmless when nothing runs."""
        self._stopping.set()
        for watched in reversed(self._watched):
            with watched.lock:
                watched.unit.stop()
        self._watched.clear()
        # The watching thread ends last: what it restarted is bound to its life.
        self._all_stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _find(self, name: str) -> _Watched:
        for watched in self._watched:
            if watched.unit.name == name:
                return watched
        raise KeyError(name)

    def _start_and_wait(self, watched: _Watched) -> None:
        unit = watched.unit
        watched.started_at, watched.restart_at = time.monotonic(), None
        try:
            unit.start()
            self._wait_ready(unit)
        except BaseException:
            unit.stop()
            raise

    def _wait_ready(self, unit: Unit) -> None:
        deadline = time.monotonic() + self._ready_s
        while not unit.ready():
            if not unit.alive:
                raise StartError(f"{unit.name} {unit.obituary()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{unit.name} is not ready after {self._ready_s:g} s: {unit.obituary()}"
                )
            time.sleep(POLL_S)

    def _watch(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_running, name="supervisor")
            self._thread.daemon = True
            self._thread.start()

    def _keep_running(self) -> None:
        while not self._all_stopped.wait(POLL_S):
            for watched in self._watched[:]:
                # A unit that is being restarted or stopped by somebody is not looked at.
                if watched.lock.acquire(blocking=False):
                    try:
                        self._look(watched)
                    finally:
                        watched.lock.release()

    def _look(self, watched: _Watched) -> None:
        now = time.monotonic()
        if self._stopping.is_set() or watched.unit.alive:
            return
        if watched.restart_at is None:
            if now - watched.started_at >= BACK_OFF_RESET_S:
                watched.failures = 0
            wait = min(BACK_OFF_CAP_S, BACK_OFF_FIRST_S * 2**watched.failures)
            watched.failures += 1
            watched.restart_at = now + wait
            name = watched.unit.name
            self._report(f"{name} {watched.unit.obituary()}\n{name} starts again in {wait:g} s")
        elif now >= watched.restart_at:
            watched.started_at, watched.restart_at = now, None
            try:
                watched.unit.start()
            except Exception as error:  # noqa: BLE001 - tried again, with a longer wait
                self._report(f"{watched.unit.name} cannot start: {error}")
