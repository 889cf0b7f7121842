"""A small adapter on the tiny base, as a study hands it out, and the champion that describes it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from sweep.tracking import Champion

TRIAL = "0123abcd"


def made_champion(folder: Path, *, trial: str = TRIAL, serving: dict[str, object] | None = None) -> Champion:
    """The champion of an adapter folder; without one, a folder that only looks like it is made."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "goldilocks.json").write_text(json.dumps({"trial": trial}))
    return Champion(
        model="pharma-goldilocks",
        name="r8-lr1.5e-03-s1",
        folder=str(folder),
        trial=trial,
        tags={"sweep.study": "pharma", "sweep.verdict": "certified", "sweep.verdict.rank": "8"},
        params={"rank": "8"},
        description="Rank 8 is enough.",
        serving={
            "base_model": "org/base",
            "base_folder": None,
            "quantization": {},
            "system_prompt": None,
            "max_new_tokens": 8,
            **(serving or {}),
        },
        code=str(files("sweep.training").joinpath("goldilocks_champion.py")),
        requirements=("torch", "peft"),
        prompt="the red box",
    )
