"""The machine-readable contract (OpenAPI 3.1), generated from the wire types and the route table."""

from collections.abc import Sequence
from typing import Any

import msgspec

from keybearer import __version__
from keybearer.errors import MethodNotAllowed, RetryLater
from keybearer.server.http.routes import Needs, Route
from keybearer.wire.problems import STATUS, ErrorDocument

_REF = "#/components/schemas/{name}"
_SECURITY: dict[Needs, list[dict[str, list[str]]]] = {
    Needs.NOTHING: [],
    Needs.KEY: [{"apiKey": []}],
    Needs.KEY_AND_TOKEN: [{"apiKey": [], "accessToken": []}],
    Needs.KEY_AND_ANY_TOKEN: [{"apiKey": [], "accessToken": []}, {"apiKey": []}],
    Needs.CALLER: [{"apiKey": [], "accessToken": []}],
    Needs.GUARD_KEY: [{"apiKey": []}],
}


def make_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of these operations, with the codes that each can answer."""
    kinds = _kinds(routes)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Keybearer",
            "version": __version__,
            "description": "Two credentials on every request: an Api-Key for the application, a token for the user.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _security_schemes()},
    }


def _kinds(routes: Sequence[Route]) -> list[Any]:
    kinds: dict[str, Any] = {repr(ErrorDocument): ErrorDocument}
    for route in routes:
        for kind in (route.answer, route.body):
            if kind is not None:
                kinds[repr(kind)] = kind
    return list(kinds.values())


def _security_schemes() -> dict[str, Any]:
    return {
        "apiKey": {"type": "apiKey", "in": "header", "name": "Api-Key", "description": "Names the application."},
        "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Names the user."},
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": _SECURITY[route.needs],
        "responses": _responses(route, schemas),
    }
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": schemas[repr(route.body)]}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    text, flag = {"type": "string"}, {"type": "boolean"}
    parameters: list[dict[str, Any]] = []
    if route.path.endswith("{id}"):
        parameters.append({"name": "id", "in": "path", "required": True, "schema": text})
    parameters += [{"name": name, "in": "query", "schema": flag} for name in route.query]
    parameters += [{"name": name, "in": "query", "schema": text} for name in route.texts]
    parameters += [{"name": name, "in": "header", "schema": text} for name in route.headers]
    return parameters


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if route.answer is None:
        responses["204"] = {"description": "Done."}
    else:
        content = {route.media_type: {"schema": schemas[repr(route.answer)]}}
        responses["200"] = {"description": "Success.", "content": content}
    error = {"application/json": {"schema": schemas[repr(ErrorDocument)]}}
    for status, codes in sorted(_codes_by_status(route).items()):
        responses[status] = {
            "description": f"One of: {', '.join(codes)}.",
            "x-codes": codes,
            "headers": _headers(route, status),
            "content": error,
        }
    return responses


def _codes_by_status(route: Route) -> dict[str, list[str]]:
    by_status: dict[str, list[str]] = {}
    for error in dict.fromkeys(route.all_codes()):
        by_status.setdefault(str(STATUS[error.code]), []).append(error.code)
    return by_status


def _headers(route: Route, status: str) -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    headers: dict[str, Any] = {"X-Request-Id": text}
    errors = [error for error in route.all_codes() if str(STATUS[error.code]) == status]
    if status == "401":
        headers["WWW-Authenticate"] = text
    if MethodNotAllowed in errors:
        headers["Allow"] = text
    if any(issubclass(error, RetryLater) for error in errors):
        headers["Retry-After"] = {"schema": {"type": "integer"}}
    return headers
