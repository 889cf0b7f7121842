"""Answers prompts with an adapter that a study chose: the code inside the MLflow models of champions.

A copy of this file travels with each model, so it imports nothing of Goldilocks. Beside the adapter, `serving.json` names the base, how it
was quantized in training, the system prompt and the length of answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

_WHOLE_MODEL = "model.safetensors"


def _load_pyfunc(data_path: str) -> Champion:
    """MLflow's entry point."""
    return Champion(Path(data_path))


class Champion:
    """Base, adapter and tokenizer in memory.

    Args:
        folder: the adapter's, in PEFT's format, or that of a whole model.

    Raises:
        OSError: the base is neither in its folder nor on the model hub.
    """

    def __init__(self, folder: Path) -> None:
        serving = json.loads((folder / "serving.json").read_text(encoding="utf-8"))
        recorded = serving["base_folder"]
        base = recorded if recorded and Path(recorded).is_dir() else serving["base_model"]
        is_whole = (folder / _WHOLE_MODEL).is_file()
        quantization = serving["quantization"]
        model = AutoModelForCausalLM.from_pretrained(
            str(folder) if is_whole else base,
            quantization_config=BitsAndBytesConfig(**quantization) if quantization else None,
        )
        self.model = model if is_whole else PeftModel.from_pretrained(model, str(folder))
        self.model.eval()
        has_tokenizer = (folder / "tokenizer_config.json").is_file()
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder) if has_tokenizer else base)
        self._system = serving["system_prompt"]
        self._longest = int(serving["max_new_tokens"])

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[str]:
        """The answers by greedy decoding, in the order of the prompts.

        Args:
            model_input: a table with a column `prompt`, or the prompts themselves.
            params: `max_new_tokens`.
        """
        longest = int((params or {}).get("max_new_tokens", self._longest))
        return [self._answer(prompt, longest) for prompt in _prompts(model_input)]

    def _answer(self, prompt: str, longest: int) -> str:
        inputs = self._encoded(prompt).to(self.model.device)
        with torch.no_grad():
            answer = self.model.generate(
                **inputs,
                max_new_tokens=longest,
                do_sample=False,
                pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
            )
        new = answer[0, inputs["input_ids"].shape[1] :]
        return str(self.tokenizer.decode(new, skip_special_tokens=True)).strip()

    def _encoded(self, prompt: str) -> Any:
        """The prompt as in training: in the model's chat template, if it has one."""
        if not self.tokenizer.chat_template:
            return self.tokenizer(prompt, return_tensors="pt")
        turns = [{"role": "system", "content": self._system}] if self._system else []
        return self.tokenizer.apply_chat_template(
            [*turns, {"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            enable_thinking=False,
        )


def _prompts(given: Any) -> Sequence[str]:
    if hasattr(given, "columns"):
        # MLflow keeps the prompts of {"prompt": [...]} in one cell
        cells = (
            cell if isinstance(cell, list | tuple) or hasattr(cell, "tolist") else [cell] for cell in given["prompt"]
        )
        return [str(prompt) for cell in cells for prompt in cell]
    if isinstance(given, str):
        return [given]
    return [str(row["prompt"] if isinstance(row, Mapping) else row) for row in given]
