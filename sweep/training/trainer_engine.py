"""`engine=trainer`: transformers' Trainer with PEFT, one trial at a time. The reference for other engines."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft.optimizers import create_loraplus_optimizer
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from sweep.config.devices import CUDA
from sweep.errors import ConfigurationError
from sweep.methods import TrainingFacts, method_of
from sweep.records import Arm, CapacityRequest, SlotCapacity, StepLoss, TrialSpec
from sweep.training.adapters import attach, detach, load_adapter
from sweep.training.base_model import LoadedBase
from sweep.training.batches import training_examples
from sweep.training.checked_trainer import CheckedTrainer, Decay, OrderedExamples, TrainingWatch, weighing, weights_of
from sweep.training.device_errors import forget_tensors, is_device_failure, is_out_of_memory
from sweep.training.encoding import Encoded
from sweep.training.engine import AdaptedModel, EvaluationExamples, OnStep, TrainedTrial
from sweep.training.initial_values import Initializer
from sweep.training.losses_and_answers import AdapterOutcomes, AnswerRule, OnEvaluated
from sweep.training.machine import kind_of
from sweep.training.memory import release
from sweep.training.packed.memory.single import single_capacity
from sweep.training.peft_model import PeftAdaptedModel
from sweep.training.quantization import check_trainable_format


class TrainerEngine:
    """Trains one trial at a time, on any model that PEFT supports; see `sweep.training.engine.Engine`."""

    shares_memory = False

    def __init__(self, base: LoadedBase) -> None:
        self._base = base
        self._initializer = Initializer(base)
        self._waiting: list[tuple[TrialSpec, Sequence[Encoded], OnStep]] = []
        self.auto_checkpointing = False

    def for_arm(self, arm: Arm | None) -> TrainerEngine:
        """This engine."""
        return self

    def capacity(
        self,
        capacity_request: CapacityRequest,
        budget: int | None,
        train: Sequence[Encoded],
        evaluated: Sequence[EvaluationExamples],
    ) -> SlotCapacity:
        """Always one trial; with its memory estimated where that decides about gradient checkpointing."""
        return single_capacity(self._base, capacity_request, budget, train)

    def bare(self) -> AdaptedModel:
        """The base model without an adapter."""
        return PeftAdaptedModel(self._base, self._base.model)

    def load(self, folder: Path) -> AdaptedModel:
        """The base model with a saved adapter."""
        return PeftAdaptedModel(self._base, load_adapter(self._base.model, folder))

    def evaluate(
        self,
        adapted: Sequence[AdaptedModel],
        encoded: Sequence[Encoded],
        rule: AnswerRule | None,
        on_progress: OnEvaluated | None = None,
    ) -> list[AdapterOutcomes]:
        """Losses and answers, adapter by adapter."""
        return [_evaluate(each, encoded, rule, on_progress) for each in adapted if isinstance(each, PeftAdaptedModel)]

    def begin(self, spec: TrialSpec, examples: Sequence[Encoded], on_step: OnStep) -> None:
        """Adds a trial to the queue."""
        self._waiting.append((spec, examples, on_step))

    def advance(self) -> list[TrainedTrial]:
        """Trains the first trial in the queue to its end."""
        if not self._waiting:
            return []
        spec, examples, on_step = self._waiting.pop(0)
        callback_seconds = 0.0

        def after_step(model: Any, step: StepLoss) -> None:
            nonlocal callback_seconds
            clock = time.perf_counter()
            on_step(PeftAdaptedModel(self._base, model), step)
            callback_seconds += time.perf_counter() - clock

        adapted, error, clock = None, None, time.perf_counter()
        try:
            trained = train(
                self._base,
                spec,
                examples,
                after_step,
                auto_checkpointing=self.auto_checkpointing,
                initializer=self._initializer,
            )
            adapted = PeftAdaptedModel(self._base, trained)
        except ConfigurationError:
            raise
        except Exception as failure:
            if is_device_failure(failure):
                raise
            forget_tensors(failure)  # it is kept while other trials are evaluated
            error = failure
        if error is not None and is_out_of_memory(error):
            release()  # Trainer and its model refer to each other
        return [TrainedTrial(spec, adapted, error, time.perf_counter() - clock - callback_seconds)]


def _evaluate(
    adapted: PeftAdaptedModel, encoded: Sequence[Encoded], rule: AnswerRule | None, on_progress: OnEvaluated | None
) -> AdapterOutcomes:
    report = on_progress or (lambda phase, done: None)
    start = time.perf_counter()
    first = [label.ids[0] for label in rule.labels] if rule is not None and rule.kinds else []
    losses = adapted.losses(encoded, lambda done: report("score", done), first)
    middle = time.perf_counter()
    if rule is None:
        return AdapterOutcomes.of(losses, None, {"score": middle - start})
    answers = adapted.answers(encoded, losses, rule, lambda done: report("answer", done))
    seconds = {"score": middle - start, "answer": time.perf_counter() - middle}
    return AdapterOutcomes.of(losses, answers, seconds)


def train(
    base: LoadedBase,
    spec: TrialSpec,
    examples: Sequence[Encoded],
    on_step: Callable[[Any, StepLoss], None],
    *,
    auto_checkpointing: bool = False,
    initializer: Initializer | None = None,
) -> Any:
    """Trains one adapter; returns the base with the adapter attached.

    Initial weights, data order and dropout depend on `spec.seed` only.

    Args:
        auto_checkpointing: whether to use gradient checkpointing if the recipe leaves it open.
        initializer: the one that earlier trials on this base used, which remembers what they share.

    Raises:
        TrialFailed: the loss diverged, or no gradient reached the adapter.
        ConfigurationError: a target module does not exist.
    """
    if spec.arm is None:
        raise ValueError("the unadapted base is not trained")
    check_trainable_format(base.model)
    starts = (initializer or Initializer(base)).starts(spec.arm, spec.seed, examples)
    set_seed(spec.seed)
    adapted = attach(base.model, spec.arm, spec.seed, TrainingFacts(spec.training.steps), starts)
    watch = TrainingWatch(on_step)
    ordered = training_examples(examples, spec.training, spec.seed)
    try:
        _fit(
            base,
            adapted,
            spec.arm,
            spec,
            ordered,
            watch,
            checkpointing=spec.training.uses_checkpointing(
                auto=auto_checkpointing and method_of(spec.arm).checkpointing
            ),
        )
        watch.check.finish()
    except Exception:
        detach(adapted)
        raise
    return adapted


def _fit(
    base: LoadedBase,
    adapted: Any,
    arm: Arm,
    spec: TrialSpec,
    ordered: Sequence[Encoded],
    watch: TrainingWatch,
    *,
    checkpointing: bool,
) -> None:
    recipe, kind = spec.training, kind_of(base.device)
    weights, collate = weights_of(ordered, recipe), base.collator_for(adapted)
    model: Any = base.model
    if not checkpointing and model.is_activation_checkpointing:
        model.activation_checkpointing_disable()  # Trainer turned it on for the trial before, and never turns it off
    with tempfile.TemporaryDirectory(prefix="goldilocks-trainer-") as scratch:
        trainer = CheckedTrainer(
            model=adapted,
            args=on_one_device(
                TrainingArguments(
                    output_dir=scratch,
                    max_steps=recipe.steps,
                    per_device_train_batch_size=recipe.batch_size,
                    gradient_accumulation_steps=recipe.gradient_accumulation,
                    learning_rate=arm.learning_rate,
                    lr_scheduler_type=recipe.schedule,
                    warmup_steps=math.ceil(recipe.warmup_fraction * recipe.steps),
                    weight_decay=recipe.weight_decay,
                    max_grad_norm=recipe.max_grad_norm,
                    activation_checkpointing=checkpointing,
                    bf16=kind.compute_of_all and base.compute is torch.bfloat16,
                    use_cpu=not kind.is_gpu,
                    train_sampling_strategy="sequential",
                    seed=spec.seed,
                    logging_steps=1,
                    logging_nan_inf_filter=False,
                    save_strategy="no",
                    report_to="none",
                    disable_tqdm=True,
                    remove_unused_columns=False,
                    dataloader_pin_memory=kind.torch_type == CUDA.torch_type,
                )
            ),
            train_dataset=OrderedExamples(ordered, weights),
            data_collator=collate if weights is None else weighing(collate),
            callbacks=[watch, *([Decay(adapted, recipe.decay_to_base)] if recipe.decay_to_base else [])],
        )
        if weights is not None:
            trainer.loss_is_scaled_for_ga = True
        if arm.loraplus_lr_ratio != 1:
            trainer.optimizer = _loraplus(adapted, arm, trainer.args)
        trainer.penalties = watch.penalties
        trainer.remove_callback(PrinterCallback)
        set_seed(spec.seed)
        trainer.train()


def on_one_device(arguments: TrainingArguments) -> TrainingArguments:
    """The arguments of a Trainer that uses one GPU, where more are visible: otherwise each would take a whole batch (`DataParallel`)."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # what Trainer itself does for a model that is placed on several devices
    return arguments


def _loraplus(adapted: Any, arm: Arm, arguments: TrainingArguments) -> torch.optim.Optimizer:
    """PEFT's LoRA+ optimizer, with the class and settings of Trainer's optimizer.

    PEFT's first parameter group holds the A matrices, so Trainer records their learning rate. Weight decay must be passed
    as `loraplus_weight_decay`; PEFT ignores its usual name.
    """
    optimizer_class, settings = Trainer.get_optimizer_cls_and_kwargs(arguments)
    optimizer: torch.optim.Optimizer = create_loraplus_optimizer(
        adapted,
        optimizer_class,
        loraplus_lr_ratio=arm.loraplus_lr_ratio,
        loraplus_weight_decay=arguments.weight_decay,
        **settings,
    )
    return optimizer
