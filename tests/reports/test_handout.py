"""The adapter folder that is handed out: copied elsewhere it loads in plain PEFT, answers as here, and says what it is."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.records import StudyRecord
from sweep.reports.files import write_report
from sweep.reports.model_card import Card, model_card
from sweep.store.adapters import ADAPTER
from sweep.store.paths import ORIGIN, Paths
from sweep.verdict.conclude import conclude
from sweep.verdict.conclusion import chosen
from tests.conftest import arm, certified_record, cut_record, result, study_record
from tests.verdict.arm_ladders import arms_record

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONFIG = yaml.safe_dump({"model": {"id": HUB_ID}, "quant": {"name": "nf4"}, "task": {"system_prompt": None}})
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.here(tmp_path / "mlruns")


def left_by_worker(record: StudyRecord, paths: Paths, base: Path | None = None) -> Path:
    """An adapter folder as a worker leaves it: weights for their owner alone."""
    trial = chosen(record, conclude(record))
    assert trial is not None
    folder = paths.trial(trial.spec.identity) / ADAPTER
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "base_model_name_or_path": str(base or "tiny")}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_model.safetensors").chmod(0o600)
    return folder


def base_folder(folder: Path, template: str | None = TEMPLATE) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(b"large")
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def test_folder_names_the_hub_and_holds_tokenizer_template_and_card(paths: Paths, tmp_path: Path) -> None:
    record = replace(certified_record(final=(8, 32)), config=CONFIG)
    base = base_folder(tmp_path / "base")
    left_by_worker(record, paths, base)
    write_report(record, conclude(record), paths)
    folder = paths.adapter("made")
    assert {file.name for file in folder.iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors", "README.md", ORIGIN),
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"),
    }
    assert json.loads((folder / "adapter_config.json").read_text()) == {"r": 8, "base_model_name_or_path": HUB_ID}
    origin = json.loads((folder / ORIGIN).read_text())
    assert (origin["base_model"], origin["base_folder"]) == (HUB_ID, str(base))
    assert (origin["rank"], origin["status"], origin["study"]) == (8, "certified", "made")
    assert (origin["quant"], origin["double_quant"]) == ("nf4", True)
    (tmp_path / "plain").touch()
    assert {file.stat().st_mode for file in folder.iterdir()} == {(tmp_path / "plain").stat().st_mode}


@pytest.mark.parametrize("noted", [True, False], ids=["noted by the trial", "in an older record"])
def test_base_is_found_after_the_runs_were_moved(paths: Paths, noted: bool) -> None:
    record = certified_record()
    base_folder(paths.models / "tiny")
    gone = Path("/somewhere/else/mlruns/models/tiny")
    folder = left_by_worker(record, paths, None if noted else gone)
    if noted:
        (folder / ORIGIN).write_text(json.dumps({"base_model": "tiny", "base_folder": str(gone)}))
    write_report(record, conclude(record), paths)
    assert (paths.adapter("made") / "tokenizer.json").is_file()
    assert json.loads((paths.adapter("made") / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def test_without_the_base_there_is_a_card_all_the_same(paths: Paths) -> None:
    record = replace(certified_record(), config=CONFIG)
    left_by_worker(record, paths, Path("/gone"))
    write_report(record, conclude(record), paths)
    card = (paths.adapter("made") / "README.md").read_text()
    assert f'AutoTokenizer.from_pretrained("{HUB_ID}")' in card
    assert "/gone" not in card


def front_matter(card: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(card.split("---")[1])
    return loaded


def card_of(record: StudyRecord, **about: Any) -> str:
    conclusion = conclude(record)
    trial = chosen(record, conclusion)
    assert trial is not None
    known = {"base": HUB_ID, "on_hub": True, "chat_template": TEMPLATE, "has_tokenizer": True}
    return model_card(record, conclusion, trial, Card(**{**known, **about}))


def test_card_describes_the_adapter_and_its_scores() -> None:
    record = replace(certified_record(final=(8, 32)), config=CONFIG)
    card = card_of(record)
    assert front_matter(card) == {
        "base_model": HUB_ID,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "goldilocks"],
    }
    assert "**Certified.** Rank 8 is enough." in card
    assert "| certify, mean of 3 seeds | 80 | 4.0000 | 0.3000 | 2.0000 | 0.1500 | 0.150 | 0.890 |" in card
    assert "| test, this adapter | 128 | 4.0000 | 0.3000 | 2.0000 | 0.1500 | 0.150 | 0.890 |" in card
    assert "data set `boxes`" in card
    assert 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)' in card
    assert f'from_pretrained("{HUB_ID}", quantization_config=quantization)' in card
    compile(snippet(card), "card", "exec")
    assert "No license is stated" in card


def test_card_of_an_arm_with_its_own_quantization_loads_the_base_so() -> None:
    record = replace(arms_record((0.9, 0.3, 0.3, 0.3)), config=CONFIG.replace("nf4", "none"))
    assert "BitsAndBytesConfig" not in card_of(record)
    trial = chosen(record, conclude(record))
    assert trial is not None
    own = replace(trial.arm, quant="nf4")
    trial = replace(trial, result=replace(trial.result, spec=replace(trial.spec, arm=own)))
    card = model_card(record, conclude(record), trial, Card(HUB_ID, True, TEMPLATE, True))
    assert "rank 2 on nf4" in card
    assert 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)' in card
    assert "The adapter was trained on the base as quantized above." in card


def test_card_of_an_uncertified_adapter_says_so() -> None:
    assert "**Not certified: the best adapter so far.**" in card_of(certified_record(seed_noise=0.02))
    explored = card_of(study_record([result(arm(8), 0.4)]))
    assert "**Not certified: the best adapter so far.**" in explored
    assert "| tune, this adapter | 128 |" in explored


def test_base_that_is_on_no_hub_is_no_link() -> None:
    card = card_of(certified_record(), base="tiny", on_hub=False)
    assert "base_model" not in front_matter(card)
    assert 'from_pretrained("FOLDER_OF_THE_BASE_MODEL")' in card


@pytest.mark.parametrize(
    ("config", "template", "line"),
    [
        ({}, TEMPLATE, 'messages = [{"role": "user", "content": prompt}]'),
        ({"task": {"system_prompt": "It's short."}}, TEMPLATE, '{"role": "system", "content": "It\'s short."}'),
        ({}, "{{ enable_thinking }}", "enable_thinking=False"),
        ({}, None, 'inputs = tokenizer(prompt, return_tensors="pt")'),
    ],
)
def test_snippet_gives_prompts_the_form_of_the_training(
    config: dict[str, Any], template: str | None, line: str
) -> None:
    card = card_of(replace(certified_record(), config=yaml.safe_dump(config)), chat_template=template)
    assert line in card
    compile(snippet(card), "card", "exec")


def snippet(card: str) -> str:
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize(
    ("template", "quant", "cut"),
    [(None, "none", False), (TEMPLATE, "none", False), (TEMPLATE, "nf4", False), (TEMPLATE, "nf4", True)],
    ids=["plain", "chat", "nf4", "cut"],
)
def test_copied_adapter_gives_the_same_answers_in_plain_peft(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str | None, quant: str, cut: bool
) -> None:
    import torch

    from sweep.records import BaseModel, Quantization
    from sweep.training.base_model import load_base
    from sweep.training.cut import cut_adapter
    from sweep.training.packed.adapter import Host
    from sweep.training.packed.lora import LoraAdapter
    from sweep.training.predictor import Predictor

    record = replace(
        cut_record() if cut else certified_record(),
        config=yaml.safe_dump({"model": {"id": "tiny"}, "quant": {"name": quant, "double_quant": False}}),
    )
    trial = chosen(record, conclude(record))
    assert trial is not None
    assert trial.spec.arm is not None
    tiny, quantization = BaseModel("tiny", "tiny", "made"), Quantization(quant, double_quant=False, cache="never")
    base = load_base(tiny, quantization, paths)
    if template:
        (base.folder / "chat_template.jinja").write_text(template)
        base = load_base(tiny, quantization, paths)
    shapes = {
        name: (module.in_features, module.out_features)
        for name, module in base.model.named_modules()
        if name in base.linear_modules
    }
    adapter = LoraAdapter(trial.spec.arm.parent, Host(shapes, base.device))
    adapter.initialize(1)
    with torch.no_grad():
        for matrix in adapter.up.values():
            matrix.normal_(0.0, 0.5, generator=torch.Generator().manual_seed(3))
    folder = paths.trial(trial.spec.identity) / ADAPTER
    whole = tmp_path / "whole" if cut else folder
    adapter.save(whole, base.id)
    base.write_origin(whole)
    if cut:
        cut_adapter(whole, folder, trial.spec.arm)
    write_report(record, conclude(record), paths)
    assert json.loads((paths.adapter("made") / "adapter_config.json").read_text())["r"] == trial.rank
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(paths.adapter("made"), elsewhere)

    setup: Any = type("WorkerSetup", (), {"model": tiny, "quant": quantization})
    here = Predictor(setup, None, 1, paths)
    here.add("made", folder)
    prompt = "Say fever"
    (expected,) = here.answers("made", None, [prompt], 64)
    code = snippet((elsewhere / "README.md").read_text()).replace("FOLDER_OF_THE_BASE_MODEL", str(base.folder))
    code = code.replace("PATH_OF_THIS_FOLDER", str(elsewhere)).replace('prompt = "..."', f"prompt = {prompt!r}")
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})  # noqa: S102 (the snippet that the card tells people to run)
    assert expected
    assert capsys.readouterr().out.strip() == expected.strip()


def test_card_of_a_cut_adapter_says_what_was_trained_and_what_is_left() -> None:
    card = card_of(replace(cut_record(final=(4, 32)), config=CONFIG))
    how = "trained at rank 32, cut to rank 4 (keeps 93.0 % of the update's energy)"
    made = "trained on the data set `boxes` at rank 32, cut to rank 4 (keeps 93.0 % of the update's energy) and chosen by Goldilocks"
    assert made in card
    assert f"- {how}: the best approximation of the trained update at this rank, without further training" in card
    assert "- rank 4, alpha 8, dropout 0," in card
    assert "batch size 4 at rank 32" in card
    assert "cut" not in card_of(replace(certified_record(), config=CONFIG))


def test_origin_of_a_cut_adapter_is_recorded(paths: Paths) -> None:
    record = cut_record()
    left_by_worker(record, paths)
    write_report(record, conclude(record), paths)
    origin = json.loads((paths.adapter("made") / ORIGIN).read_text())
    assert (origin["rank"], origin["cut_from"], origin["energy_kept"]) == (4, 32, pytest.approx(0.93))
