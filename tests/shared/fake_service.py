"""A service for `tandem.lifecycle.main`; --host says how it is to behave."""

import asyncio
import sys

from tandem.doors.settings import DoorSettings
from tandem.lifecycle import Fatal, main


class FakeService:
    """Says what it does on standard output, a line each."""

    def __init__(self, settings):
        self.behaviour = settings.host
        asyncio.get_running_loop()  # gRPC's objects need one from their construction on
        if self.behaviour == "unmade":
            raise Fatal("there is no model; expected --model_dir")

    async def start(self):
        if self.behaviour == "taken":
            raise Fatal("cannot listen on port 5 (--http_port): it is taken")
        if self.behaviour == "grouped":
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fail())
        if self.behaviour == "broken":
            raise LookupError("a fault")
        print("started", flush=True)
        if self.behaviour == "slow":
            await asyncio.Event().wait()

    async def shutdown(self):
        print("draining", flush=True)
        if self.behaviour == "stuck":
            await asyncio.Event().wait()
        print("closed", flush=True)

    async def _fail(self):
        raise Fatal("a part could not start")


if __name__ == "__main__":
    sys.exit(main(DoorSettings, "tandem-fake", "A fake.", "9.8.7", FakeService))
