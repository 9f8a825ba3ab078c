"""A message -> the JSON that Triton writes of it over HTTP."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message


def plain(message: Message) -> dict[str, Any]:
    """The message's fields: numbers as numbers, enumerations by name; without empty texts, lists and maps."""
    document: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            held = field.message_type.fields_by_name["value"]
            found: Any = {str(key): _value(held, value[key]) for key in value}
        elif field.is_repeated:
            found = [_value(field, one) for one in value]
        else:
            found = None if field.has_presence and not message.HasField(field.name) else _value(field, value)
        if found not in (None, "", [], {}) or (found == {} and field.has_presence):
            document[field.name] = found
    return document


def _value(field: Any, value: Any) -> Any:  # a descriptor, of protobuf's Python or its C
    if field.message_type:
        return plain(value)
    return field.enum_type.values_by_number[value].name if field.enum_type else value
