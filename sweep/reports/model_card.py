"""The model card of an adapter: what it is, how well it does, and how to load it, in the format of the model hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import yaml

from sweep.config.targets import set_name
from sweep.config.task_limits import limits_of
from sweep.config.units import show_bytes
from sweep.methods import FULL, LORA_VARIANTS, arm_words, own_words, title_of
from sweep.methods.initialization import init_words, is_subtracted, stored_rank
from sweep.records import Arm, CompletedTrial, EvaluatedTrial, Quantization, StudyRecord
from sweep.records.quants import transformers_settings
from sweep.reports.forgetting_words import forgetting_words
from sweep.reports.ladder_kind import is_cut, ladder_kind, share_words
from sweep.reports.page.escape import in_markdown
from sweep.verdict.conclusion import Conclusion, on_test

_FOLDER = "PATH_OF_THIS_FOLDER"
_BASE = "FOLDER_OF_THE_BASE_MODEL"


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says about the folder beside it.

    Attributes:
        base: the base model's name.
        on_hub: whether the base is on the model hub under that name.
        chat_template: the tokenizer's chat template, None if it has none.
        has_tokenizer: whether the tokenizer is in the folder.
    """

    base: str
    on_hub: bool
    chat_template: str | None
    has_tokenizer: bool


def model_card(record: StudyRecord, conclusion: Conclusion | None, trial: CompletedTrial, card: Card) -> str:
    """The card as Markdown."""
    return "\n".join(
        [
            *_front_matter(record, card),
            f"# {record.name}: {in_markdown(arm_words(trial.arm))}",
            "",
            f"{_kind(trial.arm)} {_base_name(card)}, {_made(record, conclusion, trial)}",
            "",
            *([f"Limits: {in_markdown(limits)}", ""] if (limits := limits_of(record)) else []),
            f"**{_status(conclusion)}**{f' {in_markdown(conclusion.headline)}' if conclusion else ''}",
            "",
            *(f"- {in_markdown(note)}" for note in (conclusion.notes() if conclusion else ())),
            *([""] if conclusion and conclusion.findings else []),
            *_scores(record, conclusion, trial),
            *_forgetting(record, conclusion),
            "## Load it",
            "",
            "```python",
            *_snippet(record, trial.arm, card),
            "```",
            "",
            *_notes(record, trial.arm, card),
            "## Training",
            "",
            *_training(record, trial),
            "",
            "No license is stated: that of the base model and of the data apply, and yours for the adapter.",
            "",
        ]
    )


def _front_matter(record: StudyRecord, card: Card) -> list[str]:
    fields = {
        **({"base_model": card.base} if card.on_hub else {}),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "goldilocks"],
    }
    return ["---", *yaml.safe_dump(fields, sort_keys=False).splitlines(), "---", ""]


def _base_name(card: Card) -> str:
    return f"[{card.base}](https://huggingface.co/{card.base})" if card.on_hub else f"`{card.base}`"


def _made(record: StudyRecord, conclusion: Conclusion | None, trial: CompletedTrial) -> str:
    """How it was made, and why this one was chosen."""
    data = f"trained on the data set `{record.task}`"
    if not ladder_kind(record, conclusion).is_cut:
        terms = ladder_kind(record, conclusion).terms
        return (
            f"{data} and chosen by Goldilocks, which looks for the {terms.least} {terms.one} shown to match the best."
        )
    how = f" at rank {trial.arm.cut_from}, {_left(trial)}" if is_cut(trial) else ""
    return (
        f"{data}{how} and chosen by Goldilocks, which looks for the smallest rank that is enough to ship: the smallest to which "
        "adapters can be cut while they keep what they gain, within a margin."
    )


def _cut(trial: CompletedTrial) -> str | None:
    """`trained at rank 32, cut to rank 4 (keeps 93.0 % of the update's energy)`; None if the adapter is as trained."""
    if not is_cut(trial):
        return None
    return f"trained at rank {trial.arm.cut_from}, {_left(trial)}"


def _left(trial: CompletedTrial) -> str:
    """What it was cut to, and what is left of it."""
    share = trial.measures.energy_kept
    kept = f" (keeps {share_words(share)} of the update's energy)" if share is not None else ""
    return f"cut to rank {trial.rank}{kept}"


def _status(conclusion: Conclusion | None) -> str:
    if conclusion is None or conclusion.status == "undecided":
        return "Not certified: the best adapter so far."
    return "Certified." if conclusion.status == "certified" else "Certified provisionally."


def _scores(record: StudyRecord, conclusion: Conclusion | None, trial: CompletedTrial) -> Iterator[str]:
    """Loss and task metric of base and adapter, split by split."""
    rows = []
    certification = record.certification
    if certification is not None and conclusion is not None:
        seeds = certification.complete(conclusion.hands_out)
        if seeds:
            rows.append(_row(f"certify, mean of {len(seeds)} seeds", record.metric, certification.base, seeds))
        tested = on_test(record, conclusion)
        own = tested.get("goldilocks")
        if own is not None:
            rows.append(_row("test, this adapter", record.metric, tested.get("base"), [own]))
    else:
        rows.append(_row("tune, this adapter", record.metric, record.base, [trial]))
    if rows:
        yield from [
            f"| split | examples | loss, base | loss, adapter | bits per byte, base | bits per byte, adapter | {record.metric}, base "
            f"| {record.metric}, adapter |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "Losses are in nats per completion token. Bits per byte are the same losses by the length of the text, to compare models with "
            "different tokenizers.",
            "",
        ]


def _forgetting(record: StudyRecord, conclusion: Conclusion | None) -> Iterator[str]:
    """What the adapter costs in general English, as far as it was measured."""
    if sentences := " ".join(forgetting_words(record, conclusion)):
        yield from [sentences, ""]


def _row(split: str, metric: str, base: EvaluatedTrial | None, own: Sequence[EvaluatedTrial]) -> str:
    scores = [value for trial in own if (value := trial.metric(metric)) is not None]
    bits = [value for trial in own if (value := trial.measures.bits_per_byte) is not None]
    of_base = base.metric(metric) if base else None
    cells = [
        split,
        str(own[0].measures.examples),
        f"{base.loss:.4f}" if base else "-",
        f"{fmean(trial.loss for trial in own):.4f}",
        "-" if base is None or base.measures.bits_per_byte is None else f"{base.measures.bits_per_byte:.4f}",
        f"{fmean(bits):.4f}" if bits else "-",
        "-" if of_base is None else f"{of_base:.3f}",
        f"{fmean(scores):.3f}" if scores else "-",
    ]
    return f"| {' | '.join(cells)} |"


def _kind(arm: Arm) -> str:
    """What the folder holds, before the name of the base."""
    if arm.method == FULL:
        return "All weights of"
    name = "LoRA" if arm.method in LORA_VARIANTS else title_of(arm)
    return f"{'An' if name[0] in 'AEIOU' else 'A'} {name} adapter for"


def _snippet(record: StudyRecord, arm: Arm, card: Card) -> list[str]:
    is_adapter = arm.method != FULL
    base = (card.base if card.on_hub else _BASE) if is_adapter else _FOLDER
    tokenizer = _FOLDER if card.has_tokenizer else base
    system = _system_prompt(record)
    quantized = _bits_and_bytes(record, arm)
    model = "base" if is_adapter else "model"
    lines = [
        *(["from peft import PeftModel"] if is_adapter else []),
        f"from transformers import AutoModelForCausalLM, AutoTokenizer{', BitsAndBytesConfig' if quantized else ''}",
        "",
        *([f"quantization = BitsAndBytesConfig({quantized})"] if quantized else []),
        f'{model} = AutoModelForCausalLM.from_pretrained("{base}"{", quantization_config=quantization" if quantized else ""})',
        *([f'model = PeftModel.from_pretrained(base, "{_FOLDER}")'] if is_adapter else []),
        f'tokenizer = AutoTokenizer.from_pretrained("{tokenizer}")',
        "",
        'prompt = "..."',
    ]
    if card.chat_template is not None:
        turns = ['{"role": "user", "content": prompt}']
        if system:
            turns.insert(0, f'{{"role": "system", "content": {system!r}}}')
        thinking = ", enable_thinking=False" if "enable_thinking" in card.chat_template else ""
        lines += [
            f"messages = [{', '.join(turns)}]",
            "inputs = tokenizer.apply_chat_template(",
            f'    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{thinking}',
            ")",
        ]
    else:
        lines.append('inputs = tokenizer(prompt, return_tensors="pt")')
    return [
        *lines,
        "answer = model.generate(**inputs, max_new_tokens=64, do_sample=False)",
        'print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]


def _notes(record: StudyRecord, arm: Arm, card: Card) -> Iterator[str]:
    if not card.on_hub:
        yield f"The base model `{card.base}` is not on a model hub; `goldilocks.json` names its folder at the time of training."
        yield ""
    if _bits_and_bytes(record, arm):
        yield "The adapter was trained on the base as quantized above. Answers on the unquantized base can differ clearly."
        yield ""


def quantization(record: StudyRecord, arm: Arm) -> Quantization:
    """How the base was quantized that an arm was trained on."""
    quant = _config(record).get("quant") or {}
    of_study = Quantization(str(quant.get("name") or "none"), double_quant=bool(quant.get("double_quant", True)))
    return of_study if arm.quant is None else of_study.named(arm.quant)


def _bits_and_bytes(record: StudyRecord, arm: Arm) -> str | None:
    """The arguments of `BitsAndBytesConfig` in training; None if the base was not quantized."""
    quant = quantization(record, arm)
    settings = transformers_settings(quant.name, double_quant=quant.double_quant)
    quoted = {name: f'"{value}"' if isinstance(value, str) else f"{value}" for name, value in settings.items()}
    return ", ".join(f"{name}={value}" for name, value in quoted.items()) or None


def _training(record: StudyRecord, trial: CompletedTrial) -> Iterator[str]:
    arm, measures, provenance = trial.arm, trial.measures, trial.provenance
    targets = set_name(arm.targets, record.target_sets)
    cut = _cut(trial)
    if cut is not None:
        yield f"- {cut}: the best approximation of the trained update at this rank, without further training"
    parts = [f"rank {arm.rank}"] if arm.rank else []
    parts += [f"alpha {arm.alpha:g}"] if arm.alpha else []
    parts += [f"dropout {arm.dropout:g}"] if arm.rank else []
    parts += [f"on {targets} ({', '.join(arm.targets)})"] if arm.targets else []
    method = f"method {arm.method}" + (f" ({own})" if (own := own_words(arm)) else "")
    yield f"- {'; '.join(filter(None, (', '.join(parts), method)))}"
    if words := init_words(arm):
        beside = f"; the file also holds the initial product, subtracted, so its rank is {stored_rank(arm)}"
        yield f"- A and B started as {words} (lora.init={arm.init}){beside if is_subtracted(arm) else ''}"
    training = trial.spec.training
    at = f" at rank {arm.cut_from}" if cut is not None else ""
    yield f"- learning rate {arm.learning_rate:.3g}, {training.steps} steps, batch size {training.batch_size}{at}"
    if training.replay:
        yield f"- {training.replay:.0%} of the training examples were general text (train.replay)"
    if training.decay_to_base:
        yield f"- weights decayed towards the base (train.decay_to_base={training.decay_to_base:g})"
    if measures.kept_step is not None:
        yield f"- weights of step {measures.kept_step}, which had the lowest loss on tune (train.early_stopping={training.early_stopping})"
    yield f"- seed {trial.seed}"
    yield f"- {measures.trainable_parameters:,} parameters, {show_bytes(measures.adapter_bytes)}"
    if provenance is not None:
        versions = ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items()))
        yield f"- base weights sha256 `{provenance.base_hash}` ({provenance.base_source})"
        yield f"- data sha256 `{record.data_hash}`"
        products = f", products with the base in {provenance.compute}" if provenance.compute else ""
        yield f"- {provenance.device}{products}; {versions}"


def _system_prompt(record: StudyRecord) -> str | None:
    prompt = (_config(record).get("task") or {}).get("system_prompt")
    return str(prompt) if prompt else None


def _config(record: StudyRecord) -> dict[str, dict[str, object]]:
    """The study's configuration; read by itself, since an older record may be of a version with other keys."""
    return yaml.safe_load(record.config) or {}
