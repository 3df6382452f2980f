"""The WebUIs' infotext, the line under a picture: written and read in the tests' own words."""

import json
import re

# A label, a colon, then a quoted text or anything up to the next comma.
PARAMETER = re.compile(
    r"""
    \s* (?P<label> \w [\w\ /-]+ ) : \s*
    (?P<value> " (?: [^"\\] | \\. )+ " | [^,]* )
    (?: , | $ )
    """,
    re.VERBOSE,
)


def quote(value):
    """What would be cut short is written as JSON."""
    return json.dumps(value, ensure_ascii=False) if set(str(value)) & set(",:\n") else value


def unquote(text):
    """What looks like JSON's string is read as one, if it is one."""
    if text[:1] == text[-1:] == '"':
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def write(prompt, negative_prompt, params):
    line = ", ".join(f"{label}: {quote(value)}" for label, value in params.items() if value is not None)
    return f"{prompt}\nNegative prompt: {negative_prompt}\n{line}".strip()


def parse(text):
    """The parameters of an infotext: everything is text, and "512x768" comes apart into two."""
    last = text.strip().split("\n")[-1]
    params = {}
    for found in PARAMETER.finditer(last):
        label, value = found["label"], found["value"]
        if not value:
            continue  # the host logs an error
        value = unquote(value)
        size = re.fullmatch(r"(\d+)x(\d+)", value)
        if size:
            params[f"{label}-1"], params[f"{label}-2"] = size.groups()
        else:
            params[label] = value
    return params
