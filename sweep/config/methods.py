"""Whether a configuration fits its method: keys that mean something for it, and what it can be combined with."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from sweep.config.compute import BFLOAT16, FLOAT32
from sweep.config.forgetting import refused_recipe
from sweep.config.ladder_arms import LADDER, holds_arms, ladder_arm_problems, ladder_methods, ladder_quants
from sweep.config.method_keys import FIELDS, IN_WORDS, own_key, owners
from sweep.config.schema import Config
from sweep.config.searched_methods import KEY, RATES, because, known_methods, searched_problems
from sweep.methods import INIT, Method, methods
from sweep.methods.initialization import INITIALIZATIONS, Initialization
from sweep.records.quants import KINDS, QUANTS


def method_problems(config: Config, given: Collection[str], *, searches: bool) -> Iterator[str]:
    """Problems of the method's own parameters, of LoRA's keys that it does not have, and of what it is combined with.

    Args:
        given: the keys that the command line sets; LoRA's keys in a study's file may stay for other methods.
        searches: whether a study is run; a single trial certifies nothing.
    """
    method = methods().get(config.method.name)
    if method is None:  # reported as an unknown choice
        return
    if config.search.space.method:
        yield from searched_problems(config, given)
        return
    if config.search.space.learning_rates:
        yield f"{RATES}: is for a search over methods ({KEY}); for one method write search.space.learning_rate"
    yield from _own(config, method)
    for key, field in FIELDS.items():
        if key in given and field not in method.lora and not (key == LADDER and holds_arms(config.certify.ladder)):
            yield (
                f"{key}: method={method.name} has no {IN_WORDS[field]}; leave it out, or choose a method that has "
                f"({_names(other for other in methods().values() if field in other.lora)})"
            )
    yield from _combinations(config, method)
    yield from _double_quant(config, given)
    init = INITIALIZATIONS.get(config.lora.init) if INIT in method.lora else None
    if init is not None:
        yield from _initialization(config, init, searches=searches)
    if searches and holds_arms(config.certify.ladder):
        yield from ladder_arm_problems(config, given)
    elif searches and config.certify.enabled:
        yield from _ladder(config, method)


def needs_float32(config: Config) -> bool:
    """Whether a method of the study needs products with the base to be computed in fp32."""
    return any(method.float32 for method in _methods(config))


def engine_of(config: Config) -> tuple[str, str | None]:
    """The engine that trains, and a note about methods that it does not take.

    It is the one asked for, or `trainer` if that takes none of the study's methods. Beside `packed`, `trainer` trains the methods that
    are not packed. A ladder of arms with such a method is trained by `trainer` as a whole.
    """
    asked, chosen = config.engine.name, _methods(config)
    unpacked = [method.name for method in _of_ladder(config) if not method.packed]
    if asked == "packed" and unpacked:
        return "trainer", (
            f"engine=packed does not train {', '.join(unpacked)}; engine=trainer trains all arms of certify.ladder, so that their seconds "
            "and memory compare"
        )
    others = [method for method in chosen if not method.packed]
    if asked != "packed" or not others:
        return asked, None
    shown = [(method.name, method.why_not.get("packed")) for method in others]
    named = ", ".join(f"method={name}" + (f" ({reason})" if reason else "") for name, reason in shown)
    if len(others) == len(chosen):
        return "trainer", f"engine=packed does not train {named}; engine=trainer is used instead"
    return (
        asked,
        f"engine=packed does not train {named}; engine=trainer trains {'it' if len(others) == 1 else 'them'}, one at a time",
    )


def _methods(config: Config) -> list[Method]:
    """The methods that the study trains."""
    return [*(known_methods(config) or [methods()[config.method.name]]), *_of_ladder(config)]


def _of_ladder(config: Config) -> tuple[Method, ...]:
    return ladder_methods(config) if config.certify.enabled else ()


def _own(config: Config, method: Method) -> Iterator[str]:
    for name, having in owners().items():
        value = getattr(config.method, name)
        if own := own_key(method, name):
            if value is None and own.default is None:
                yield f"method.{name}: a value is needed with method={method.name}; write method.{name}={own.about.example}"
        elif value is not None:
            closest = difflib.get_close_matches(method.name, [other.name for other in having], n=1, cutoff=0)
            mine = ", ".join(f"method.{key.name}" for key in method.own_keys())
            yield (
                f"method.{name}={value}: method={method.name} has no such parameter"
                f"{f' (it has {mine})' if mine else ''}; write method={closest[0]}, or leave it out"
            )


def _combinations(config: Config, method: Method) -> Iterator[str]:
    if config.quant.name in QUANTS and config.quant.name not in method.quants:
        yield (
            f"quant={config.quant.name}: cannot be combined with method={method.name}{because(method, 'quants')}; "
            f"write quant={method.quants[0]}, or method=lora"
        )
    elif method.float32 and config.quant.compute == BFLOAT16:
        yield (
            f"quant.compute=bfloat16: cannot be combined with method={method.name}{because(method, 'float32')}; write "
            f"quant.compute={FLOAT32}, or leave it out"
        )
    if config.train.gradient_checkpointing is True and not method.checkpointing:
        yield (
            f"train.gradient_checkpointing=true: cannot be combined with method={method.name}{because(method, 'checkpointing')}; "
            "leave it out, or write method=prompt_tuning"
        )
    for key, lacks in refused_recipe(config, method):
        yield f"{key}: cannot be combined with method={method.name}{because(method, lacks)}; leave it out, or write method=lora"


def _initialization(config: Config, init: Initialization, *, searches: bool) -> Iterator[str]:
    key = f"lora.init={init.name}"
    if config.quant.name in set(QUANTS) - set(init.quants):
        yield (
            f"{key}: cannot be combined with quant={config.quant.name}: {init.why_not}; write quant={init.quants[0]}, or "
            "lora.init=default"
        )
    cuts = searches and config.certify.enabled and config.certify.ladder_by == "cut"
    if init.even:
        ladder = config.certify.ladder if searches and config.certify.enabled else ()
        trained = {
            "lora.r": (config.lora.r,) if not searches else (),
            "search.space.rank": config.search.space.rank if searches else (),
            "certify.ladder": ladder[-1:] if cuts else ladder,
        }
        for name, ranks in trained.items():
            if odd := [rank for rank in ranks if rank % 2]:
                yield f"{key}: needs even ranks, and {name} has {', '.join(map(str, odd))}; leave it out, or write lora.init=default"
    if init.subtracted and cuts:
        yield (
            f"certify.ladder_by=cut: cannot be combined with {key}: what is trained at rank r is stored with rank 2r, so the ladder's "
            "largest rank would not be that of its adapter; write certify.ladder_by=train, or lora.init=default"
        )


def _double_quant(config: Config, given: Collection[str]) -> Iterator[str]:
    kind = KINDS.get(config.quant.name)
    if "quant.double_quant" in given and config.quant.double_quant and kind is not None and not kind.blocks:
        blocks = " or ".join(f"quant={name}" for name, other in KINDS.items() if other.blocks)
        yield f"quant.double_quant=true: quant={kind.name} has no constants to quantize; leave it out, or write {blocks}"
    own = [name for name in ladder_quants(config) if KINDS[name].blocks]
    if "quant.double_quant" in given and not config.quant.double_quant and kind is not None and not kind.blocks and own:
        yield (
            f"quant.double_quant=false: is for the study's base, and quant={kind.name} has no constants to quantize; those of arms with "
            f"quant: {own[0]} are quantized. Leave it out, or write quant={own[0]} for the study and quant: {kind.name} in other arms"
        )


def _ladder(config: Config, method: Method) -> Iterator[str]:
    if not method.has_rank:
        yield (
            f"certify.ladder: method={method.name} has no rank, so there is no ladder of ranks to certify; write certify=none to "
            "search without a verdict"
        )
    elif config.certify.ladder_by == "cut" and not method.cut:
        yield (
            f"certify.ladder_by=cut: adapters of method={method.name} cannot be cut to a smaller rank{because(method, 'cut')}; write "
            "certify.ladder_by=train, or certify=none to search without a verdict"
        )


def _names(having: Iterator[Method]) -> str:
    return ", ".join(method.name for method in having)
