"""fwbuild: builds a tiny firmware image for QEMU/KVM, and shows what it does.

The names below are the public API; docs/python.md has an example of each. They are imported when
they are first used, so that `import fwbuild` costs nothing.
"""

from importlib import import_module

from fwbuild.version import __version__

TYPE_CHECKING = False  # as type checkers know it; typing itself takes long to import

if TYPE_CHECKING:
    from fwbuild.api import (
        Boot,
        Emulation,
        ExitCode,
        FwbuildError,
        Guest,
        Image,
        Report,
        State,
        Template,
        Verdict,
        build,
        emulate,
        inspect,
        judge,
        observe,
        run,
        verify,
        write,
    )
else:

    def __getattr__(name: str) -> object:
        """A name of the API, from fwbuild/api.py."""
        if name not in __all__:
            raise AttributeError(f"module 'fwbuild' has no attribute '{name}'")
        globals()[name] = getattr(import_module("fwbuild.api"), name)
        return globals()[name]


__all__ = [
    "Boot",
    "Emulation",
    "ExitCode",
    "FwbuildError",
    "Guest",
    "Image",
    "Report",
    "State",
    "Template",
    "Verdict",
    "__version__",
    "build",
    "emulate",
    "inspect",
    "judge",
    "observe",
    "run",
    "verify",
    "write",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
