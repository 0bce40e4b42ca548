"""Compiles functions from LLVM's language, and keeps their machine code in files, from which other processes load it.

The name of a file stands for all that its code depends on, and in front of the code is its digest: a file that is not
whole is made again. A folder that cannot be read or written is no error, for then all is compiled anew.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

from nnexp.core.files import atomically, expanded, remove_abandoned

MOST_FILES = 1000
"""With more files, some 10 MB, the older half of them is removed."""
DIGEST_BYTES = 32
LEVEL = 2
"""How much is optimized; loops are not unrolled and interleaved, which takes as long to compile as all the rest."""


def cache_folder() -> Path:
    """Return the folder of this user for machine code, which may be removed at any time."""
    places = os.environ.get("XDG_CACHE_HOME"), os.environ.get("LOCALAPPDATA"), "~/.cache"
    return expanded(next(place for place in places if place)) / "nnexp" / "machine_code"


def this_processor() -> tuple[str, str]:
    """Return the name and the features of this processor, as LLVM calls them."""
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


class Compiler:
    """Compiles functions, each once in a process.

    Raises ImportError, OSError or RuntimeError if LLVM is not there.

    Args:
        folder: Has the files, perhaps later.
    """

    def __init__(self, folder: Path) -> None:
        import llvmlite
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm, self._folder = llvm, folder
        cpu, features = this_processor()
        target = llvm.Target.from_default_triple()
        self._machine = partial(target.create_target_machine, cpu=cpu, features=features, opt=LEVEL)
        self._known = f"{llvmlite.__version__} {llvm.llvm_version_info} {target.triple} {cpu} {features} {LEVEL}"
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine())  # which holds all code

    def functions(self, text: str, names: Sequence[str], *, anew: bool = True) -> Sequence[int]:
        """Return the addresses of functions; none if they are not in a file and are not to be compiled `anew`."""
        key = sha256(f"{self._known}\n{text}".encode()).hexdigest()
        code = self._read(key)
        if code is None:
            if not anew:
                return []
            code = self._compiled(text)
            self._write(key, code)
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return [self._engine.get_function_address(name) for name in names]

    def _compiled(self, text: str) -> bytes:
        """Return machine code."""
        module, machine = self._llvm.parse_assembly(text), self._machine()
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        options = self._llvm.create_pipeline_tuning_options(speed_level=LEVEL)
        options.loop_vectorization = True
        options.loop_unrolling = options.loop_interleaving = False
        passes = self._llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        code: bytes = machine.emit_object(module)
        return code

    def _read(self, key: str) -> bytes | None:
        """Return the code in a file; None if there is none, or not all of it."""
        with suppress(OSError):
            content = (self._folder / key).read_bytes()
            digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
            return code if digest == _digest(key, code) else None
        return None

    def _write(self, key: str, code: bytes) -> None:
        """Write a file if that is possible, and let the folder not become too large."""
        if not self._folder.is_absolute():  # it is not known where this user's files are
            return
        with suppress(OSError):
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            with atomically(self._folder / key) as temporary:
                temporary.write_bytes(_digest(key, code) + code)
            files = [*self._folder.glob("[!.]*")]
            if len(files) > MOST_FILES:
                remove_abandoned(self._folder)
                for path in sorted(files, key=lambda path: path.stat().st_mtime)[: len(files) // 2]:
                    path.unlink(missing_ok=True)


def _digest(key: str, code: bytes) -> bytes:
    return sha256(key.encode() + code).digest()
