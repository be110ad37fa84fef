"""What an error says of the run that met it, and of the process that it met it in."""

import re

from dalr.training.callbacks import Diverged


def reason_of(error: BaseException) -> str:
    """One line that says why a run failed."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, Diverged):
        return f"diverged: {text}"
    if is_out_of_memory(error):
        return f"out of memory: {text}"
    return f"{type(error).__name__}: {text}"


_CUDA_ERROR = re.compile(r"CUDA error|CUDA driver error|CUBLAS_STATUS|CUDNN_STATUS|cuDNN error|device-side assert")


def leaves_cuda_broken(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, is CUDA's own (an illegal access, a device assert, ECC): the context stays
    broken. After a lack of memory it is whole."""
    while error is not None:
        of_cuda = type(error).__name__ == "AcceleratorError" or _CUDA_ERROR.search(str(error))
        if of_cuda and not is_out_of_memory(error):
            return True
        error = error.__cause__ or error.__context__
    return False


_NO_MEMORY = ("out of memory", "can't allocate memory", "status_alloc_failed")
"""Of torch's allocator, the host's, and cuBLAS and cuDNN when they make a handle."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a card, did not suffice."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)
