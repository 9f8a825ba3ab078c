"""A class written for KServe's SDK: found, made and made ready as the SDK's own server would.

kserve:module:Class -> import with a command line of its own -> Class(name=...) -> load -> start -> start_engine
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tandem.kserve import PREFIX, sdk
from tandem.kserve.sdk import Setting
from tandem.lifecycle import Fatal


class Author:
    """The user's class, which `make` makes objects of. Raises Fatal for what only its user can mend."""

    def __init__(self, flag: str, reference: str, setting: Setting) -> None:
        self.flag = f"--{flag}={reference}"
        self.setting = setting
        where, _, name = reference.removeprefix(PREFIX).rpartition(":")
        if not where or not name:
            raise Fatal(f"{self.flag}: expected kserve:module:Class or kserve:/path/file.py:Class")
        self.kserve = sdk.load(self.flag, setting)
        sdk.tell(setting)
        found = getattr(self._module(where), name, None)
        if not (isinstance(found, type) and issubclass(found, self.kserve.Model)):
            raise Fatal(f"{self.flag}: {where} defines no subclass {name} of kserve.Model")
        self.cls: Any = found
        self._arguments = self._find_arguments()

    def make(self, wait: Callable[[Any], Any]) -> Any:
        """An object of the class, ready; blocking. `wait` gives the result of a coroutine. Raises Fatal."""
        sdk.tell(self.setting)
        try:
            model = self.cls(**self._arguments)
            if not model.ready:
                _resolved(model.load(), wait)
            ready = model.ready
            model.start()
            if model.engine:
                _resolved(model.start_engine(), wait)
        except Exception as error:  # user code may raise anything
            raise Fatal(f"{self.flag}: loading failed: {error!r}") from error
        if not ready:
            raise Fatal(f"{self.flag}: load() has left self.ready False")
        return model

    def overrides(self, method: str) -> bool:
        """Whether the class has its own `method`."""
        return getattr(self.cls, method) is not getattr(self.kserve.Model, method)

    def _module(self, where: str) -> ModuleType:
        try:
            with sdk.command_line(self.setting.argv):
                return _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        except SystemExit as error:  # of a parser at its top, which has said why
            raise Fatal(f"{self.flag}: importing {where} ended with {error!r}") from error
        except Exception as error:  # importing runs the user's code
            raise Fatal(f"{self.flag}: cannot import {where}: {error!r}") from error

    def _find_arguments(self) -> dict[str, object]:
        """The constructor's: those that it asks for, and those that the options name."""
        known, given, missing = self.setting.known, {}, []
        parameters = list(inspect.signature(self.cls).parameters.values())
        for index, parameter in enumerate(parameters):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.name in known:
                given[parameter.name] = known[parameter.name]
            elif index == 0:
                given[parameter.name] = self.setting.model_name  # whatever it is called
            elif parameter.default is parameter.empty:
                missing.append(parameter.name)
        if missing:
            names = ", ".join(missing)
            how = ",".join(f"{name}=..." for name in missing)
            raise Fatal(f"{self.flag}: the constructor needs {names}; give them with --{self._options}={how}")
        return given

    @property
    def _options(self) -> str:
        return "transformer_options" if self.flag.startswith("--transformer") else "model_options"


def _resolved(result: object, wait: Callable[[Any], Any]) -> object:
    return wait(result) if inspect.isawaitable(result) else result


def _from_file(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kserve_user_{file.stem}", file)  # never a library's name
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(str(file))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
