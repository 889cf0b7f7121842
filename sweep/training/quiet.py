"""Silences what the libraries would print, each item for a known reason. Errors are never silenced."""

from __future__ import annotations

import logging
import os
import threading
import warnings

from tqdm import tqdm


def quiet_libraries() -> None:
    """Call before transformers, peft and bitsandbytes are imported, and once after.

    - tokenizers: its fork warning does not apply, workers are spawned.
    - transformers and huggingface_hub: progress bars of loading would break our own progress display.
    - bitsandbytes.backends: hints that a faster inference kernel could be downloaded at run time; code that a hub
      serves is never run here, and training does not use that kernel.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes.backends").setLevel(logging.ERROR)
    for name in ("cpu", "default", "mps"):
        logging.getLogger(f"bitsandbytes.backends.{name}.ops").setLevel(logging.ERROR)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    # tqdm's own lock is a semaphore shared between processes, which a killed worker would leave behind
    tqdm.set_lock(threading.RLock())
    # peft asks transformers for an attribute that transformers has renamed
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    # torch.jit deprecations are raised inside libraries; there is nothing a reader could change
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\..*|transformers\..*|peft\..*")


def quiet_progress() -> None:
    """Turns off the progress bars that transformers draws while loading."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
