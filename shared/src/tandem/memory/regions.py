"""The regions of shared memory that a server's callers have made known, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem.errors import FailedPrecondition, InvalidInput
from tandem.memory.region import NoRegion, Region, attach

MOST = 1024  # registered at a time


@dataclass(frozen=True, slots=True)
class Known:
    """A region under the name that a caller gave it."""

    name: str
    region: Region


class Regions:
    """Looked up at each tensor that names one. Lives on one event loop."""

    def __init__(self, *, public: bool) -> None:
        self._public = public  # --enable_system_shared_memory
        self._private: dict[str, Region] = {}
        self._registered: dict[str, Region] = {}

    def view(self, name: str, offset: int, size: int) -> memoryview:
        """Bytes of a region; raises FailedPrecondition if it is not known, InvalidInput beyond its end."""
        found = self._private.get(name) or self._registered.get(name)
        if found is None:
            raise FailedPrecondition(f"shared memory region '{name[:100]}' is not registered")
        try:
            return found.view(offset, size)
        except IndexError as error:
            raise InvalidInput(f"shared memory region '{name[:100]}': {error}") from None

    def add_private(self, name: str, region: Region) -> None:
        """A region of the transformer's."""
        self._private[name] = region

    def remove_private(self, name: str) -> None:
        """The transformer has gone, or has another."""
        self._private.pop(name, None)

    def register(self, name: str, key: str, offset: int, size: int) -> None:
        """Map a caller's region; raises InvalidInput if it cannot be, or if the name is taken."""
        self.require_public()
        if not name or name in self._registered or len(self._registered) >= MOST:
            reason = f"there are {MOST}" if name and name not in self._registered else "its name is empty or taken"
            raise InvalidInput(f"shared memory region '{name[:100]}' cannot be registered: {reason}")
        try:
            self._registered[name] = attach(key, offset, size)
        except NoRegion as error:
            raise InvalidInput(f"shared memory region '{name[:100]}' cannot be registered: {error}") from None

    def unregister(self, name: str) -> None:
        """Forget a region, or all if `name` is empty; one that is not known is no error, as with Triton."""
        self.require_public()
        for known in [name] if name else list(self._registered):
            self._registered.pop(known, None)

    def status(self, name: str) -> Sequence[Known]:
        """The region of that name, or all if it is empty; raises InvalidInput if it is not known."""
        self.require_public()
        if name and name not in self._registered:
            raise InvalidInput(f"shared memory region '{name[:100]}' is not registered")
        return [Known(known, region) for known, region in self._registered.items() if name in ("", known)]

    def require_public(self) -> None:
        """Raise FailedPrecondition unless callers may register regions."""
        if not self._public:
            raise FailedPrecondition("start the predictor with --enable_system_shared_memory to register shared memory")
