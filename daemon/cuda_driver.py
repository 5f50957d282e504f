"""NVIDIA's driver and its compiler, by ctypes: kernels made from source, launched, waited for.

ONNX Runtime brings both along (`onnxruntime-gpu[cuda]`), but runs no kernels of others. What is
launched here and what the runtime runs keep out of each other's way because each is waited for.
Knows no model. A `Device` belongs to the thread that made it.
"""

import ctypes
import importlib.util
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autocoder.daemon.errors import CudaFailed, ModelError

DRIVER, COMPILERS = "libcuda.so.1", ("libnvrtc.so.13", "libnvrtc.so.12")
PROCESSORS, MAJOR, MINOR, SHARED_AT_MOST = 16, 75, 76, 8  # attributes of a device, of a function
MAPPED = 2  # memory of the host that the device writes to
IN_ORDER = None  # the stream that waits for copies


@dataclass(frozen=True)
class Architecture:
    """What code is made for: "sm_90", say, and the processors that share a launch."""

    name: str
    processors: int


class Device:
    """The first device, in the context that ONNX Runtime uses too. Raises ModelError."""

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL(DRIVER)
        except OSError as error:
            raise ModelError(f"no driver for NVIDIA devices: {error}") from error
        number = ctypes.c_int()
        context = ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(number), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._call("cuCtxSetCurrent", context)
        weakref.finalize(self, self._driver.cuDevicePrimaryCtxRelease_v2, number)
        self._number = number

    @property
    def architecture(self) -> Architecture:
        """For `compiled`, and for the number of blocks in a launch."""
        major, minor, processors = map(self._attribute, (MAJOR, MINOR, PROCESSORS))
        return Architecture(f"sm_{major}{minor}", processors)

    def pinned(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], int]:
        """Float32 values of the host that kernels write to at this address."""
        place = ctypes.c_void_p()
        size = 4 * int(np.prod(shape))
        self._call("cuMemHostAlloc", ctypes.byref(place), ctypes.c_size_t(size), MAPPED)
        floats = ctypes.cast(place, ctypes.POINTER(ctypes.c_float))
        array = np.ctypeslib.as_array(floats, shape)
        weakref.finalize(self, self._driver.cuMemFreeHost, place)
        return array, int(place.value or 0)

    def function(self, image: bytes, name: str, shared_bytes: int) -> Any:
        """A kernel of a compiled image that needs so much memory shared by a block."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), image)
        weakref.finalize(self, self._driver.cuModuleUnload, module)
        self._call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        self._call("cuFuncSetAttribute", function, SHARED_AT_MOST, shared_bytes)
        return function

    def launch(
        self, function: Any, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[Any]
    ) -> None:
        """Run a kernel whose blocks wait for each other, and wait for it. Raises CudaFailed."""
        places = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        grid = (blocks, 1, 1, threads, 1, 1, shared_bytes)
        try:
            self._call("cuLaunchCooperativeKernel", function, *grid, IN_ORDER, places)
            self._call("cuStreamSynchronize", IN_ORDER)
        except ModelError as error:
            raise CudaFailed(str(error)) from error

    def _attribute(self, attribute: int) -> int:
        found = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(found), attribute, self._number)
        return found.value

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise ModelError(f"{name} failed with {status}")


def compiled(source: Path, architecture: str, sizes: Mapping[str, Any]) -> bytes:
    """The image of a source in CUDA C++, with `sizes` as macros. Takes two seconds, in which other
    threads run. Raises ModelError."""
    compiler = _compiler()
    program = ctypes.c_void_p()
    macros = [f"--define-macro={name}={value}" for name, value in sizes.items()]
    options = [each.encode() for each in (f"--gpu-architecture={architecture}", *macros)]
    text = source.read_bytes()
    compiler.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None)
    try:
        listed = (ctypes.c_char_p * len(options))(*options)
        if compiler.nvrtcCompileProgram(program, len(options), listed):
            said = _got(compiler, program, "ProgramLog").decode(errors="replace")
            raise ModelError(f"{source.name} does not compile: {said}")
        return _got(compiler, program, "CUBIN")
    finally:
        compiler.nvrtcDestroyProgram(ctypes.byref(program))


def _got(compiler: Any, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(compiler, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(compiler, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw


def _compiler() -> Any:
    """Raises ModelError where there is none."""
    for path in (*_packaged(), *map(Path, COMPILERS)):
        try:
            for part in path.parent.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(part))  # the compiler finds it by name only where it is loaded
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise ModelError("no compiler for NVIDIA devices; `pip install 'autocoder[cuda]'` has one")


def _packaged() -> Iterator[Path]:
    """The compiler in its own wheel, which is on no path."""
    found = importlib.util.find_spec("nvidia")
    for folder in (found and found.submodule_search_locations) or ():
        for name in COMPILERS:
            yield from sorted(Path(folder).glob(f"*/lib/{name}"))
