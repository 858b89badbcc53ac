"""As much of JSON Schema as the API's document uses; a word it does not know is a problem itself."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}
_KNOWN = {"$ref", "title", "description", "type", "properties", "required", "items", "anyOf", "enum", "const",
          "prefixItems", "minItems", "maxItems", "additionalProperties"}


def problems(value: Any, schema: dict[str, Any] | bool, document: dict[str, Any], at: str = "$") -> list[str]:
    """Everything that does not fit, also keys of an object that the schema does not name."""
    if isinstance(schema, bool):
        return [] if schema else [f"{at}: must not be there"]
    if unknown := set(schema) - _KNOWN:
        return [f"{at}: {unknown} is not known here"]
    if "$ref" in schema:
        name = re.fullmatch(r"#/components/schemas/(\w+)", schema["$ref"])
        assert name is not None
        return problems(value, document["components"]["schemas"][name.group(1)], document, at)
    if "anyOf" in schema:
        tried = [problems(value, each, document, at) for each in schema["anyOf"]]
        return [] if [] in tried else [line for lines in tried for line in lines]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    wanted = schema.get("type")
    if wanted is not None and (not isinstance(value, _TYPES[wanted])
                               or (isinstance(value, bool) and wanted != "boolean")):
        return [f"{at}: {value!r} is no {wanted}"]
    if isinstance(value, dict) and schema != {"type": "object"}:
        return _object(value, schema, document, at)
    return _array(value, schema, document, at) if isinstance(value, list) else []


def _object(value: dict[str, Any], schema: dict[str, Any], document: dict[str, Any], at: str) -> list[str]:
    named = schema.get("properties", {})
    rest = schema.get("additionalProperties", False)
    found = [f"{at}.{name}: is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        found += problems(each, named.get(name, rest), document, f"{at}.{name}")
    return found


def _array(value: list[Any], schema: dict[str, Any], document: dict[str, Any], at: str) -> list[str]:
    first = schema.get("prefixItems", [])
    rest = schema.get("items", True)
    fits = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
    found = [] if fits else [f"{at}: length"]
    for index, each in enumerate(value):
        found += problems(each, first[index] if index < len(first) else rest, document, f"{at}[{index}]")
    return found
