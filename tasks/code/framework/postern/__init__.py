"""Postern, a small web framework: routes, typed parameters, hooks and error handlers, and a client that needs no sockets."""

from .app import App, Group
from .errors import Problem, SetupError, fail
from .request import Request
from .response import Response, empty, json, redirect, text

__all__ = ["App", "Group", "Problem", "Request", "Response", "SetupError", "empty", "fail", "json", "redirect", "text"]
