"""An application: routes and groups of them, hooks, and error handlers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import Problem, SetupError, phrase
from .request import Request
from .response import Response, text
from .routing import Pattern, pattern, within
from .values import names_of

Handler = TypeVar("Handler", bound=Callable[..., Any])

_OF_REQUEST = ("request", "query", "body", "headers", "cookies")
"""What a handler may take beside the parameters of its path."""


@dataclass(frozen=True)
class _Route:
    method: str
    pattern: Pattern
    handler: Callable[..., Any]
    takes: tuple[str, ...]


@dataclass(frozen=True)
class _Hook:
    prefix: str
    handler: Callable[..., Any]
    takes: tuple[str, ...]


class Group:
    """Routes and hooks below a common prefix."""

    def __init__(self, app: App, prefix: str) -> None:
        self._app = app
        self._prefix = prefix.rstrip("/")

    def get(self, path: str) -> Callable[[Handler], Handler]:
        """Answers GET requests for a path."""
        return self.route("GET", path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        """Answers POST requests for a path."""
        return self.route("POST", path)

    def put(self, path: str) -> Callable[[Handler], Handler]:
        """Answers PUT requests for a path."""
        return self.route("PUT", path)

    def patch(self, path: str) -> Callable[[Handler], Handler]:
        """Answers PATCH requests for a path."""
        return self.route("PATCH", path)

    def delete(self, path: str) -> Callable[[Handler], Handler]:
        """Answers DELETE requests for a path."""
        return self.route("DELETE", path)

    def route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Answers requests of a method for a path. The handler's parameters are those of the path, and parts of the request.

        Raises:
            SetupError: the path is malformed, or the handler takes something that there is not.
        """
        where = pattern(self._prefix + path)

        def add(handler: Handler) -> Handler:
            takes = _taken(handler, (*where.converters, *_OF_REQUEST), path)
            self._app.routes.append(_Route(method.upper(), where, handler, takes))
            return handler

        return add

    def before(self, prefix: str = "/") -> Callable[[Handler], Handler]:
        """Runs a hook before each request for `prefix` or below it; a response that it returns is the answer."""

        def add(hook: Handler) -> Handler:
            self._app.before_hooks.append(_Hook(self._prefix + prefix, hook, _taken(hook, _OF_REQUEST, prefix)))
            return hook

        return add

    def after(self, prefix: str = "/") -> Callable[[Handler], Handler]:
        """Runs a hook with each response to a request for `prefix` or below it."""

        def add(hook: Handler) -> Handler:
            takes = _taken(hook, (*_OF_REQUEST, "response"), prefix)
            self._app.after_hooks.append(_Hook(self._prefix + prefix, hook, takes))
            return hook

        return add

    def group(self, prefix: str) -> Group:
        """A group below this one."""
        return Group(self._app, self._prefix + prefix)


class App(Group):
    """A web application."""

    def __init__(self) -> None:
        super().__init__(self, "")
        self.routes: list[_Route] = []
        self.before_hooks: list[_Hook] = []
        self.after_hooks: list[_Hook] = []
        self._of_status: dict[int, tuple[Callable[..., Any], tuple[str, ...]]] = {}
        self._of_error: dict[type[Exception], tuple[Callable[..., Any], tuple[str, ...]]] = {}

    def error(self, what: int | type[Exception]) -> Callable[[Handler], Handler]:
        """Answers requests that end with an error status, or with an exception of a type.

        A response of status 200 to an error status keeps that status.
        """

        def add(handler: Handler) -> Handler:
            entry = handler, _taken(handler, ("request", "problem"), str(what))
            if isinstance(what, int):
                self._of_status[what] = entry
            else:
                self._of_error[what] = entry
            return handler

        return add

    def mount(self, prefix: str, other: App) -> None:
        """Takes over the routes and hooks of another application, below a prefix."""
        base = prefix.rstrip("/")
        for route in other.routes:
            path = pattern(base) if base else None
            joined = route.pattern if path is None else route.pattern.below(path)
            self.routes.append(_Route(route.method, joined, route.handler, route.takes))
        for mine, theirs in ((self.before_hooks, other.before_hooks), (self.after_hooks, other.after_hooks)):
            mine += [_Hook(base + hook.prefix, hook.handler, hook.takes) for hook in theirs]

    def handle(self, request: Request) -> Response:
        """The response to a request."""
        try:
            response = self._before(request) or self._routed(request)
        except Exception as error:  # a handler's own mistakes are answered as well
            response = self._recovered(error, request)
        for hook in self.after_hooks:
            if within(request.path, hook.prefix):
                hook.handler(**_parts(hook.takes, request, response=response))
        return response

    def _before(self, request: Request) -> Response | None:
        for hook in self.before_hooks:
            if within(request.path, hook.prefix):
                answer = hook.handler(**_parts(hook.takes, request))
                if answer is not None:
                    return _checked(answer)
        return None

    def _routed(self, request: Request) -> Response:
        allowed = set()
        for route in self.routes:
            parameters = route.pattern.match(request.path)
            if parameters is None:
                continue
            if route.method == request.method:
                return _checked(route.handler(**_parts(route.takes, request, **parameters)))
            allowed.add(route.method)
        if allowed:
            raise Problem(405, f"allowed: {names_of(allowed)}")
        raise Problem(404)

    def _recovered(self, error: Exception, request: Request) -> Response:
        status = error.status if isinstance(error, Problem) else 500
        for kind, (handler, takes) in self._of_error.items():
            if isinstance(error, kind):
                return _checked(handler(**_parts(takes, request, problem=error)))
        if status in self._of_status:
            handler, takes = self._of_status[status]
            response = _checked(handler(**_parts(takes, request, problem=error)))
            if response.status == 200:
                response.status = status
            return response
        return text(error.message if isinstance(error, Problem) else phrase(500), status)


def _taken(handler: Callable[..., Any], offered: Iterable[str], where: str) -> tuple[str, ...]:
    """The names of a handler's parameters.

    Raises:
        SetupError: one of them is not offered.
    """
    names = tuple(inspect.signature(handler).parameters)
    if unknown := set(names) - set(offered):
        raise SetupError(f"{where}: nothing is called {names_of(unknown)}; there are {names_of(offered)}")
    return names


def _parts(takes: Iterable[str], request: Request, **more: object) -> dict[str, object]:
    return {name: more[name] if name in more else _part(name, request) for name in takes}


def _part(name: str, request: Request) -> object:
    return request if name == "request" else getattr(request, name)


def _checked(answer: object) -> Response:
    if not isinstance(answer, Response):
        raise TypeError(f"a handler returned {type(answer).__name__}, not a response")
    return answer
