"""Problems of a model's files or chat template give an error that says what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sweep.errors import ConfigurationError, EnvironmentLacks
from sweep.records import BaseModel, Quantization
from sweep.store.paths import Paths
from sweep.training.base_model import load_base
from sweep.training.encoding import Encoder
from sweep.training.machine import quiet_libraries, quiet_progress
from sweep.training.made_models import make_tiny_model
from tasks import Example

Change = Callable[[Path], None]
WEIGHTS = "model.safetensors"
CODE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet_libraries()
    quiet_progress()
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    folder.mkdir()
    make_tiny_model(folder)
    return folder


def cut(length: int) -> Change:
    return lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length]) and None


def garbage(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"x" * 5000)


def with_a_tensor(shape: tuple[int, ...] | None) -> Change:
    """One tensor of another shape, or none."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        name = next(name for name in sorted(tensors) if "gate_proj" in name)
        if shape is None:
            del tensors[name]
        else:
            tensors[name] = torch.zeros(shape)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def configured(**keys: object) -> Change:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))

    return change


def own_code(text: str) -> Change:
    def change(folder: Path) -> None:
        configured(model_type="own", auto_map=CODE)(folder)
        (folder / "configuration_own.py").write_text(text)

    return change


def written(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text) and None


def problem_of(folder: Path, *, trusted: bool = False, quant: str = "nf4") -> str:
    model = BaseModel(name="mine", id="mine", path=str(folder), trust_remote_code=trusted)
    with pytest.raises(ConfigurationError) as caught:
        load_base(model, Quantization(quant, True, "never"), Paths(folder.parent / "mlruns"))
    (problem,) = caught.value.problems
    assert problem.startswith(f"model=mine ({folder}): ")
    assert len(problem) < len(str(folder)) + 420
    return problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(0), "model.safetensors is damaged ("),
        (cut(100), "model.safetensors is damaged ("),
        (cut(20_000), "model.safetensors is damaged ("),
        (garbage, "model.safetensors is damaged ("),
        (
            with_a_tensor(None),
            "weights that config.json expects are not in its safetensors files: model.layers.0.mlp.gate_proj",
        ),
        (with_a_tensor((3, 3)), "the weights have other shapes than config.json expects"),
        (configured(num_hidden_layers=5), "and 24 more; download the complete model"),
        (configured(vocab_size=10), "the weights have other shapes"),
        (configured(model_type="own"), "model type `own`"),
        (configured(model_type="vit"), "cannot be loaded as a causal language model"),
        (configured(model_type="own", auto_map=CODE), "if you trust it, set model.trust_remote_code=true"),
        (written("config.json", "{"), "is not a valid JSON file"),
        (written("tokenizer.json", "{"), "cannot be loaded as a causal language model"),
        (written("tokenizer.json", '{"version": "1.0", "model": {"type": "Nope"}}'), "cannot be loaded"),
    ],
)
def test_broken_files(whole: Path, tmp_path: Path, change: Change, message: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    change(folder)
    assert message in problem_of(folder)


@pytest.mark.parametrize("shape", [None, (3, 3)])
def test_weights_that_are_not_quantized_are_checked_too(
    whole: Path, tmp_path: Path, shape: tuple[int, ...] | None
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    with_a_tensor(shape)(folder)
    assert "config.json expects" in problem_of(folder, quant="none")


@pytest.mark.parametrize(
    ("text", "message"), [("def", "SyntaxError: invalid syntax"), ("1 / 0", "ZeroDivisionError: division by zero")]
)
def test_code_that_is_trusted_and_breaks(whole: Path, tmp_path: Path, text: str, message: str) -> None:
    folder = tmp_path / f"model_{text[0]}"
    shutil.copytree(whole, folder)
    own_code(text)(folder)
    assert message in problem_of(folder, trusted=True)


class Templated:
    """A tokenizer that is its chat template."""

    name_or_path = "models/mine"

    def __init__(self, whole: Path, template: str) -> None:
        from transformers import AutoTokenizer

        self._real = AutoTokenizer.from_pretrained(str(whole))
        self.eos_token = self._real.eos_token
        self._real.chat_template = self.chat_template = template

    def apply_chat_template(self, *given: object, **named: object) -> object:
        return self._real.apply_chat_template(*given, **named)

    def __call__(self, text: str, **named: object) -> object:
        return self._real(text, **named)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no such turn') }}", "TemplateError: no such turn"),
        ("{% if %}", "TemplateSyntaxError: "),
        ("{{ nothing.at.all }}", "UndefinedError: 'nothing' is undefined"),
        ("{{ 1 // 0 }}", "ZeroDivisionError: "),
        ("{{ 'a' + 1 }}", "TypeError: "),
        ("{% for n in range(10 ** 9) %}x{% endfor %}", "OverflowError: "),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError: "),
    ],
)
@pytest.mark.parametrize("system", [None, "be brief"])
def test_a_chat_template_that_fails(whole: Path, template: str, message: str, system: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Encoder(Templated(whole, template), system).encode(Example("how many?", "three"))
    (problem,) = caught.value.problems
    assert problem.startswith("the model's chat template (models/mine) fails: ")
    assert message in problem
    assert "chat_template.jinja" in problem


def test_without_a_system_role_the_system_prompt_is_part_of_the_prompt(whole: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer = Templated(whole, template)
    encoded = Encoder(tokenizer, "be brief").encode(Example("how many?", "three"))
    assert (
        list(encoded.prompt)
        == tokenizer("user: be brief\n\nhow many?\nassistant: ", add_special_tokens=False)["input_ids"]
    )  # type: ignore[index]


@pytest.mark.slow
def test_the_command_ends_with_a_message(whole: Path, tmp_path: Path, made_task: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(whole, folder)
    cut(20_000)(folder)
    words = [f"model.path={folder}", "task=jsonl", f"task.path={made_task}", "task.metric=exact_match"]
    ended = subprocess.run(
        [sys.executable, "-m", "sweep", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "model.safetensors is damaged" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            EnvironmentLacks,
            r"out of memory while .* loaded \(.*quant=nf4",
        ),
        (MemoryError(), EnvironmentLacks, "out of memory while the base model was loaded"),
        (RuntimeError("CUDA error: device-side assert triggered"), RuntimeError, "device-side assert"),
        (RuntimeError("shapes differ"), ConfigurationError, "cannot be loaded as a causal language model"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_memory_that_runs_out_while_weights_are_quantized_is_named(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quant: str,
    error: Exception,
    expected: type[Exception],
    words: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    # transformers catches the error, and raises another that does not name it
    operation = {"nf4": "Bnb4bitQuantize", "int8": "Bnb8bitQuantize"}[quant]
    monkeypatch.setattr(f"transformers.integrations.bitsandbytes.{operation}.convert", fail)
    model = BaseModel("own", "own", "hub", path=str(whole))
    with pytest.raises(expected, match=words):
        load_base(model, Quantization(quant, double_quant=False), Paths(tmp_path))
